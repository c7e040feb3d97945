"""Served values against offline ones, cell by cell."""
