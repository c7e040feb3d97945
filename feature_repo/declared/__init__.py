"""Feast objects from a plain description: what a business says of its views in YAML, without Python of its own."""
