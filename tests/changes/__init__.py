"""Changes of a champion by several at once, cut up at each durable write."""
