"""The online store on SQLite."""
