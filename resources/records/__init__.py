"""The records that one process writes and another reads, maybe of another release: each kind a versioned model, one reader for all.

They live here because both sides need them: the resources that publish, follow and log, and the stages, promotion and
verification above them. Nothing here imports anything else of the project but the reader of moments.
"""
