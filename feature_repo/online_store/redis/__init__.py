"""The online store on Redis."""
