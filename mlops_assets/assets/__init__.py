"""Thin assets: read through a resource, call `ml`, write, return metadata."""
