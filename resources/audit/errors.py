"""What can go wrong with the audit log: one tree, `AuditError` at its top."""


class AuditError(Exception):
    """The audit log cannot be read or take an entry: it is not what was written, or the entry cannot be written."""


class AuditKeyError(AuditError):
    """The key that seals the log is missing, unreadable, or open to others."""


class OldLogError(AuditError):
    """The log is one of an earlier release, or its migration was not finished."""


class BrokenChainError(AuditError):
    """An entry is not the one that belongs in its place; `entry` is its number, None: the fault is beside the entries."""

    def __init__(self, what: str, entry: int | None = None) -> None:
        super().__init__(what)
        self.entry = entry
