"""The polars store with one change in its own source text."""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = "feature_repo.offline_store"


@dataclass(frozen=True)
class Change:
    """A text that stands once in a module of the store, and what takes its place."""

    module: str
    old: str
    new: str


CHANGES: dict[str, Change] = {
    "newest before, not at, the moment": Change(
        "kernel",
        'np.searchsorted(self.packed, needles, side="right") - 1',
        'np.searchsorted(self.packed, needles, side="left") - 1',
    ),
    "a tick of the future": Change("kernel", "self.clock.number(ticks)\n", "self.clock.number(ticks + 1)\n"),
    "ttl open at its end": Change("kernel", "places[moments < np.", "places[moments <= np."),
    "ttl a tick too long": Change("kernel", "NEVER + ttl) - ttl]", "NEVER + ttl) - ttl - 1]"),
    "ttl forgotten": Change("kernel", "if ttl is not None:", "if False:"),
    "another key's row": Change("kernel", "places[found != keys] = -1", "pass"),
    "created not among the sort keys": Change(
        "kernel", "np.lexsort((places, later, ordered[among]))", "np.lexsort((places, ordered[among]))"
    ),
    "place not among the sort keys": Change(
        "kernel",
        "np.lexsort((places, later, ordered[among]))",
        "np.lexsort((-places, later, ordered[among]))",
    ),
    "created at the moment not known": Change("kernel", "created[nodes] > ticks", "created[nodes] >= ticks"),
    "unknown rows passed over one by one only": Change(
        "kernel", "for jump in reversed(self._jumps):", "for jump in ():"
    ),
    "rows not known at all kept": Change("kernel", "usable &= created != NEVER", "pass"),
    "rows taken to be in order": Change(
        "kernel", "order = None if _rises(packed) else", "order = None if True else"
    ),
    "keys of a run not numbered anew": Change(
        "kernel", "if np.count_nonzero(rank >= 0) < starts.size:", "if False:"
    ),
    "answers left in the order of the search": Change(
        "kernel", "scattered[questions.order] = answer", "scattered[:] = answer"
    ),
    "null keys numbered": Change(
        "kernel", "usable = (codes >= 0) & (ticks != NEVER)", "usable = ticks != NEVER"
    ),
    "null moments kept": Change("kernel", "usable = (codes >= 0) & (ticks != NEVER)", "usable = codes >= 0"),
    "the second key forgotten": Change("keys", "first * self.second + second)", "first * self.second)"),
    "nanoseconds cut": Change("moments", 'return "ns" if any(', 'return "us" if any('),
    "later rows pruned": Change("sources", "last + margin}", "last - 2 * margin}"),
    "expired rows pruned a unit too early": Change("sources", "first - margin,", "first + margin,"),
    "pruning without the time to live": Change(
        "join", "return Span(_earlier(first, ttl), last)", "return Span(first, last)"
    ),
    "alias forgotten": Change("requests", "alias.get(key, key) for key in", "key for key in"),
}


def install(change: Change, patch: pytest.MonkeyPatch) -> None:
    """Put the changed module's functions and classes wherever the store uses the module's own."""
    importlib.import_module(f"{PACKAGE}.store")
    original = sys.modules[f"{PACKAGE}.{change.module}"]
    text = Path(str(original.__file__)).read_text()
    assert text.count(change.old) == 1, (
        f"{change.old!r} no longer stands once in {change.module}: renew this change"
    )
    changed = ModuleType(original.__name__)
    changed.__package__ = PACKAGE
    patch.setitem(sys.modules, original.__name__, changed)
    exec(compile(text.replace(change.old, change.new), str(original.__file__), "exec"), changed.__dict__)
    for name in [name for name in sys.modules if name.startswith(f"{PACKAGE}.")]:
        user = sys.modules[name]
        for attribute, value in list(vars(user).items()):
            if user is not changed and getattr(value, "__module__", None) == original.__name__:
                patch.setattr(user, attribute, getattr(changed, attribute))
