"""Generated cases that follow from the test alone.

Hypothesis draws one value in twenty from the constants of whichever modules of ours are loaded, and has no setting for it. Which are loaded
depends on the tests that the process ran before, so a case would come on one machine and not on another.
"""

from hypothesis import settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

ITS_OWN = providers._get_local_constants


MORE = 4
"""So many times the cases are generated in `make fuzz`."""


def slow_cases(count: int, **more: int) -> settings:
    """The settings of a test of which one case takes long: so many cases, and more of them in `make fuzz`."""
    times = MORE if settings.get_current_profile_name() == "fuzz" else 1
    return settings(max_examples=count * times, deadline=None, **more)


def draw_from_nothing_loaded() -> None:
    """Have no case depend on the modules that are loaded."""
    nothing = Constants()
    providers._get_local_constants = lambda: nothing
