"""What can go wrong with a change of champion: `ChampionError` at the top."""


class ChampionError(Exception):
    """A change of the champion is refused: its evidence or its target does not fit what is champion now."""


class UnfoundedError(ChampionError):
    """A change of the champion is in the log without the evidence that it needs: nothing follows it."""
