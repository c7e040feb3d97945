"""How Ray is reached for training."""
