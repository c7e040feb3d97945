"""How a champion changes, and what is on record of it."""
