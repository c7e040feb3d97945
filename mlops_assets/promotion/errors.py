"""What can go wrong with a change of champion: `ChampionError` where it does not fit, `PromotionError` where it may not be."""

from mlops_assets.errors import WorkError


class ChampionError(Exception):
    """A change of the champion is refused: its evidence or its target does not fit what is champion now."""


class UnfoundedError(ChampionError):
    """A change of the champion is in the log without the evidence that it needs: nothing follows it."""


class PromotionError(WorkError):
    """A champion is not changed."""


class HeldBackError(PromotionError):
    """A challenger passed the gate and is not promoted: a person has to approve it, has said no, or has put it on hold."""


class FrozenError(HeldBackError):
    """A champion is not changed, because somebody has put the model, or all of them, on hold."""
