"""The servers of `make dev` on one machine."""
