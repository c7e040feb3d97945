"""The pumps' feature repository."""
