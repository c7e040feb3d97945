"""What a backup or its way back may end with."""


class BackupError(Exception):
    """Says what could not be copied or brought back, why, and what to do."""
