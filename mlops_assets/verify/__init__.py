"""Registered versions rebuilt byte by byte from their lineage."""
