"""Roll-outs: what the evidence shows at every look, and what follows from it."""
