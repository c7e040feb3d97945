"""Commands of `mlops` beside replay and servers, each with its options and what it prints."""
