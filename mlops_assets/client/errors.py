"""What a client ends with."""

from mlops_assets.errors import WorkError


class ClientError(WorkError):
    """What was asked for is not there, or means several things; names the value, the rule and what to give."""
