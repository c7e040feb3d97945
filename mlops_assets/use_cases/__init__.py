"""One folder a business: its tables, features and models, found by themselves."""
