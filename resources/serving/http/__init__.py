"""The endpoint's HTTP surface."""
