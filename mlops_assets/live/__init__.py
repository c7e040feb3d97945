"""A use case that lives: a clock that runs fast, data that arrives, customers that ask, and word of what happens."""
