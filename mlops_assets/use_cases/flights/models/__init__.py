"""One folder a model; its defs.yaml is the whole of it."""
