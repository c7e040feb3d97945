"""Columns of Python values into the matrix that `Encoding.matrix` makes of a frame: the same numbers, without the frame."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlops_assets.ml.dataset import Encoding
from mlops_assets.ml.values import Known

EXACT = 2**53
"""Up to this size a double holds every whole number, so that going through one rounds once."""

MOST_REMEMBERED = 10_000
NAN = float("nan")


class Category:
    """The codes of one column, by the values that came; those that no training row had are told apart."""

    def __init__(self, values: Sequence[str], known: Known) -> None:
        self._codes = {value: float(code) for code, value in enumerate(values)}
        self._known = known
        self._read: dict[Any, tuple[float | None, str | None]] = {}

    def code(self, value: Any) -> tuple[float | None, str | None]:
        """The code (None: unseen or missing), and the canonical text of an unseen value."""
        key = type(value), value
        answer = self._read.get(key)
        if answer is None:
            text = self._known.read_one(value)
            code = None if text is None else self._codes.get(text)
            answer = code, text if code is None else None
            if len(self._read) < MOST_REMEMBERED:
                self._read[key] = answer
        return answer


class RowBuffer:
    """A matrix of one row that stays where it is in memory, to be filled again and again by one thread; `address` says where."""

    def __init__(self, width: int) -> None:
        self.matrix = np.zeros((1, width), np.float32)
        self.address = self.matrix.ctypes.data
        self._bytes, self._pack = (
            memoryview(self.matrix.data).cast("B"),
            struct.Struct(f"={width}f").pack_into,
        )
        self._row, self._sizes = self.matrix[0], np.zeros(width, np.float32)

    def fill(self, row: Sequence[Any]) -> bool:
        """Fill it with numbers; False where one is not finite, or so large that it would not be rounded as `matrix` does it."""
        try:
            self._pack(self._bytes, 0, *row)
        except (struct.error, OverflowError):
            return False
        np.abs(self._row, self._sizes)
        return not np.fmax.reduce(self._sizes) >= EXACT


class ColumnEncoder:
    """An encoding for columns of a few rows."""

    def __init__(self, encoding: Encoding) -> None:
        self._parts = [(name, self._category(encoding, name)) for name in encoding.features]
        self.names = encoding.features
        self._categories = [
            (place, name, category) for place, (name, category) in enumerate(self._parts) if category
        ]

    def row(self, given: Mapping[str, Any]) -> tuple[list[Any], dict[int, dict[str, str]]]:
        """The numbers of one row, NaN where one is missing, and what `matrix` says of its categories."""
        numbers, unseen = [given[name] for name in self.names], {}
        for place, name, category in self._categories:
            numbers[place], text = category.code(numbers[place])
            if text is not None:
                unseen[name] = text
        return [NAN if value is None else value for value in numbers], {0: unseen} if unseen else {}

    @staticmethod
    def _category(encoding: Encoding, name: str) -> Category | None:
        values = encoding.categories.get(name)
        return None if values is None else Category(values, Known(values, encoding.kinds.get(name, "text")))

    def matrix(
        self, columns: Mapping[str, Sequence[Any]], height: int
    ) -> tuple[np.ndarray, dict[int, dict[str, str]]]:
        """Float32 array [rows, features], and by row the text of each category that no training row had."""
        unseen: dict[int, dict[str, str]] = {}
        if height == 1:
            return _single(self._row(columns, unseen)), unseen
        wide = np.array(
            [
                _numbers(columns[name]) if category is None else _codes(name, category, columns[name], unseen)
                for name, category in self._parts
            ],
            np.float64,
        ).reshape(len(self._parts), height)
        return _single(wide.T), unseen

    def _row(self, columns: Mapping[str, Sequence[Any]], unseen: dict[int, dict[str, str]]) -> np.ndarray:
        """The only row, as doubles [1, features]."""
        numbers: list[Any] = []
        for name, category in self._parts:
            value = columns[name][0]
            if category is not None:
                value, text = category.code(value)
                if text is not None:
                    unseen.setdefault(0, {})[name] = text
            elif type(value) is int and not -EXACT <= value <= EXACT:
                value = _rounded(value)
            numbers.append(value)
        return np.array([numbers], np.float64)


def _single(wide: np.ndarray) -> np.ndarray:
    """Doubles in single precision; what is infinite then is missing."""
    with np.errstate(over="ignore"):
        out = np.ascontiguousarray(wide, np.float32)
    infinite = np.isinf(out)
    if infinite.any():
        out[infinite] = np.nan
    return out


def _numbers(values: Sequence[Any]) -> Sequence[Any]:
    for value in values:
        if type(value) is int and not -EXACT <= value <= EXACT:
            return [_rounded(one) for one in values]
    return values


def _rounded(value: Any) -> Any:
    """A large whole number as single precision has it, rounded once."""
    return float(np.int64(value).astype(np.float32)) if type(value) is int else value


def _codes(
    name: str, category: Category, values: Sequence[Any], unseen: dict[int, dict[str, str]]
) -> list[float | None]:
    codes = []
    for row, value in enumerate(values):
        code, text = category.code(value)
        if text is not None:
            unseen.setdefault(row, {})[name] = text
        codes.append(code)
    return codes
