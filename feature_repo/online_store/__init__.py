"""Online stores that answer with what the offline join would give at the same moment."""
