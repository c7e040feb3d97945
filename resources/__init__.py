"""How systems are reached: the only part of the platform that knows a laptop from a cluster."""
