"""What can go wrong with storage: one tree, `StorageError` at its top."""


class StorageError(Exception):
    """Storage did not do what was asked of it."""


class AbsentError(StorageError, FileNotFoundError):
    """Nothing is stored under this name."""


class ConflictError(StorageError):
    """A conditional put came too late: somebody else has written this name meanwhile, and nothing was changed."""


class UnreachableError(StorageError):
    """The store did not answer, or refused: whether a write has arrived is not known."""


class AddressError(StorageError):
    """An address that no kind of storage has."""


class LeaseError(StorageError):
    """A lease is not this holder's."""


class LeaseHeldError(LeaseError):
    """Another holder has the lease, and renews it."""


class LeaseLostError(LeaseError):
    """The lease ran out before it was renewed, and another holder may have it."""
