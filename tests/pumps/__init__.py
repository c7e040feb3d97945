"""Data that has nothing to do with flights: water pumps that stop when they have vibrated too long."""
