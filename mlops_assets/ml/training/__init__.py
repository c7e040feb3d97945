"""Fits: in process, as a task, on several workers or sent to a cluster."""
