"""Pods of runs: why one was lost, and what is left of those that nobody waits for."""
