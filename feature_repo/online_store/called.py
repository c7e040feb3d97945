"""On-demand features by a function of one row, or of arrays, in the types that their view declares."""

import struct
from collections.abc import Callable, Mapping, Sequence
from ctypes import c_float
from typing import Any

import numpy as np

from .codec.kinds import ValueType

FLOATS = {ValueType.FLOAT: np.float32, ValueType.DOUBLE: np.float64}
EXACT = {
    ValueType.INT32: int,
    ValueType.INT64: int,
    ValueType.STRING: str,
    ValueType.BOOL: bool,
}
KINDS = (*FLOATS, *EXACT)

Function = Callable[..., Mapping[str, Any]]


class Called:
    """The functions of one view: what they read, and how what they give becomes the view's columns."""

    def __init__(
        self,
        kinds: Mapping[str, ValueType],
        reads: Sequence[str],
        scalar: Function | None,
        numpy: Function | None,
    ) -> None:
        unknown = [name for name, kind in kinds.items() if kind not in KINDS]
        if unknown:
            raise TypeError(f"{unknown[0]} is {kinds[unknown[0]].name}, which only Feast's function can give")
        self.kinds, self.reads = kinds, tuple(reads)
        self._scalar, self._numpy = scalar, numpy
        floats = {kind for kind in kinds.values() if kind in FLOATS}
        self._alike = FLOATS[floats.pop()] if len(floats) == 1 and set(kinds.values()) <= {*FLOATS} else None
        self._packed = struct.Struct(f"={len(kinds)}f")

    def columns(self, given: Mapping[str, Sequence[Any]], height: int) -> dict[str, list[Any]]:
        """The view's features for so many rows. Raises TypeError for a value that is not of its declared type."""
        if self._scalar is None or (height > 1 and self._numpy is not None):
            return self._by_arrays(given)
        rows = [self._scalar(**{name: given[name][row] for name in self.reads}) for row in range(height)]
        if self._alike is np.float32 and height == 1:
            return {name: [value] for name, value in self._singles(rows[0]).items()}
        if self._alike is not None:
            return self._floats(rows)
        return {name: typed(name, [row[name] for row in rows], kind) for name, kind in self.kinds.items()}

    def row(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The view's features for one row of values. Raises TypeError for a value that is not of its declared type."""
        if self._scalar is None or self._alike is not np.float32:
            columns = self.columns({name: [given[name]] for name in self.reads}, 1)
            return {name: values[0] for name, values in columns.items()}
        return self._singles(self._scalar(**{name: given[name] for name in self.reads}))

    def _singles(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """All features of one row, which are floats of single precision, without an array."""
        try:
            numbers = self._packed.unpack(self._packed.pack(*[row[name] for name in self.kinds]))
            total = sum(numbers)
            if total == total:  # NaN is none of them
                return dict(zip(self.kinds, numbers, strict=True))
        except (struct.error, OverflowError):  # a value is missing, or too large
            pass
        some = {name: None if row[name] is None else c_float(row[name]).value for name in self.kinds}
        return {name: None if value != value else value for name, value in some.items()}

    def _floats(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """All features at once, which are floats of one width."""
        names = list(self.kinds)
        with np.errstate(over="ignore"):
            numbers = np.array([[row[name] for row in rows] for name in names], np.float64).astype(
                self._alike
            )
        shown = numbers.tolist()
        for feature, row in zip(*np.isnan(numbers).nonzero(), strict=True):
            shown[feature][row] = None
        return dict(zip(names, shown, strict=True))

    def _by_arrays(self, given: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        assert self._numpy is not None
        arrays = self._numpy(**{name: np.array(given[name], np.float64) for name in self.reads})
        return {name: typed(name, arrays[name], kind) for name, kind in self.kinds.items()}


def typed(name: str, values: Any, kind: ValueType) -> list[Any]:
    """A computed column in the type that its view declares; NaN is None."""
    if kind in FLOATS:
        with np.errstate(over="ignore"):
            numbers = np.asarray(values, np.float64).astype(FLOATS[kind])
        return [None if number != number else number for number in numbers.tolist()]
    shown = values.tolist() if hasattr(values, "tolist") else list(values)
    shown = [None if value != value else value for value in shown]
    for value in shown:
        if value is not None and type(value) is not EXACT[kind]:
            raise TypeError(
                f"{name} is declared {kind.name} and its function gave {value!r} ({type(value).__name__}): give "
                f"{EXACT[kind].__name__} or None"
            )
    return shown
