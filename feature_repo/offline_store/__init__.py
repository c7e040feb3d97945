"""Offline stores that make the same point-in-time join as Feast's, from less data."""
