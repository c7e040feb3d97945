"""What a defs.yaml turns into assets."""
