"""Telling people: what is raised, to whom it goes, what was delivered, and who acknowledged it."""
