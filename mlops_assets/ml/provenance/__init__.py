"""What a model was made of: lineage, digests of code and content."""
