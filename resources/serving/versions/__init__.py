"""Versions that do not answer for their model yet: each scores in a process of its own, and has until a deadline."""
