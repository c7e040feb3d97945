"""Drift, and what evidence asks for a new model."""
