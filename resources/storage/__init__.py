"""Durable writes, conditional puts, leases."""
