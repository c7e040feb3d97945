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
        'self.packed[low:high], needles, side="right")',
        'self.packed[low:high], needles, side="left")',
    ),
    "a tick of the future": Change(
        "kernel", "_packed(keys, self.clock, ticks)", "_packed(keys, self.clock, ticks + 1)"
    ),
    "ttl open at its end": Change("kernel", "places[moments < oldest]", "places[moments <= oldest]"),
    "ttl a tick too long": Change("kernel", "NEVER + ttl) - ttl\n", "NEVER + ttl) - ttl - 1\n"),
    "ttl forgotten": Change("kernel", "if oldest is not None:", "if False:"),
    "another key's row": Change("kernel", "places[keys_there != keys] = -1", "pass"),
    "created not among the sort keys": Change(
        "kernel", "np.lexsort((created[places], ordered[among]))", "np.lexsort((ordered[among],))"
    ),
    "place not among the sort keys": Change(
        "kernel", 'np.argsort(packed, kind="stable")', "np.lexsort((-np.arange(packed.size), packed))"
    ),
    "created at the moment not known": Change("kernel", "created[nodes] > ticks", "created[nodes] >= ticks"),
    "unknown rows passed over once only": Change(
        "kernel", "for jump in reversed(self._jumps):", "for jump in ():"
    ),
    "rows not known at all kept": Change("kernel", "usable &= created != NEVER", "pass"),
    "rows taken to be in order": Change(
        "kernel", "order = None if _rises(packed) else", "order = None if True else"
    ),
    "ties taken to be in order": Change("kernel", "np.array_equal(sorted_ties, among)", "True"),
    "keys of a run not numbered anew": Change(
        "kernel", "if np.count_nonzero(rank >= 0) < starts.size:", "if False:"
    ),
    "answers left in the order of the search": Change(
        "kernel", "answer[rows] = self._newest(", "answer[block] = self._newest("
    ),
    "ranks of moments one too low": Change(
        "kernel", 'self.moments, ticks, side="right")', 'self.moments, ticks, side="left")'
    ),
    "unknown rows passed over into another key": Change(
        "kernel", "jump[1:][np.append(True, self.keys[1:] != self.keys[:-1])] = 0", "pass"
    ),
    "places taken for rows": Change(
        "kernel", "return places if self.rows is None else _chosen(self.rows, places)", "return places"
    ),
    "pairs of keys not numbered anew": Change(
        "keys", "both if self.dense is None else self.dense.encode(_nulled(both))", "both"
    ),
    "nanoseconds of the time to live cut": Change("moments", "micro - span), nano)", "micro - span), None)"),
    "null values filled": Change("assemble", "& self.hits", "| self.hits"),
    "null keys numbered": Change(
        "kernel", "usable = (codes >= 0) & (ticks != NEVER)", "usable = ticks != NEVER"
    ),
    "null moments kept": Change("kernel", "usable = (codes >= 0) & (ticks != NEVER)", "usable = codes >= 0"),
    "the second key forgotten": Change("keys", "both += second\n", "\n"),
    "nanoseconds cut": Change("moments", 'return "ns" if any(', 'return "us" if any('),
    "later rows pruned": Change("reading", "_literal(span.last, kind, 1)", "_literal(span.last, kind, -3)"),
    "expired rows pruned a unit too early": Change(
        "reading", "_literal(span.first, kind, -1)", "_literal(span.first, kind, 1)"
    ),
    "pruning without the time to live": Change(
        "asking", "microsecond(first) - length(ttl)", "microsecond(first)"
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
