"""History replayed as it would have happened, and what it came to."""
