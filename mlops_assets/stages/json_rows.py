"""Rows of JSON as columns, each in the type of its own values: nothing is bent, and what is not a value is told by column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from mlops_assets.spec.table import TableSpec
from mlops_assets.stages.errors import SourceError

ABSENT = object()
WORDS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}
KINDS: Mapping[type, Any] = {bool: pl.Boolean, int: pl.Int64, float: pl.Float64, str: pl.String}


@dataclass
class JsonRows:
    """What reads the rows of one table, page after page, and knows at the end which columns none of them had."""

    spec: TableSpec
    places: Mapping[str, str]
    may_lack: bool
    _present: set[str] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)
    _rows: int = 0

    def frame(self, rows: Sequence[Mapping[str, Any]], where: str) -> tuple[pl.DataFrame, list[str]]:
        """The declared columns of a page, and the names of its other ones. Raises SourceError for values of several types."""
        self._seen.update(*rows)
        columns = [self._column(name, rows, where) for name in self.spec.columns]
        self._rows += len(rows)
        used = {self.places.get(name, name).partition(".")[0] for name in self.spec.columns}
        return pl.DataFrame(columns), sorted({name for row in rows for name in row} - used)

    def refuse_absent(self, where: str) -> None:
        """Raise for the first column that no row had, of all pages together."""
        absent = [name for name in self.spec.columns if name not in self._present]
        if self._rows and absent and not self.may_lack:
            place = self.places.get(absent[0], absent[0])
            has = ", ".join(sorted(self._seen)) or "none"
            raise SourceError(
                f"{where} has no column {absent[0]!r} (at {place}) in any of {self._rows} rows; it has {has}: correct columns or "
                "fields, or say omitted: missing where it leaves out what has no value"
            )

    def _column(self, name: str, rows: Sequence[Mapping[str, Any]], where: str) -> pl.Series:
        place = self.places.get(name, name)
        values = [_at(row, place) for row in rows]
        if any(value is not ABSENT for value in values):
            self._present.add(name)
        given = [None if value is ABSENT else value for value in values]
        first: dict[str, int] = {}
        for number, value in enumerate(given):
            if value is not None:
                first.setdefault(WORDS[type(value)], number)
        if len(first) > 1:
            (one, row), (other, second) = [*first.items()][:2]
            raise SourceError(
                f"{where}, column {name!r}: {one} in row {self._rows + row + 1} and {other} in row {self._rows + second + 1}: "
                "correct it in the source"
            )
        if nested := first.keys() & {WORDS[list], WORDS[dict]}:
            raise SourceError(
                f"{where}, row {self._rows + min(first.values()) + 1}, column {name!r} is {nested.pop()}: name a place in it as "
                f"fields: {{{name}: {place}.NAME}}"
            )
        return self._series(name, given, where)

    def _series(self, name: str, given: list[Any], where: str) -> pl.Series:
        whole = self.spec.columns[name].kind == "int"
        values = [int(v) if whole and isinstance(v, float) and v.is_integer() else v for v in given]
        types = {type(value) for value in values if value is not None}
        kind = pl.Float64 if float in types else KINDS[next(iter(types))] if types else pl.Null
        try:
            return pl.Series(name, values, kind, strict=float not in types)
        except (OverflowError, TypeError):
            bad = next(n for n, value in enumerate(values) if isinstance(value, int) and abs(value) >= 2**63)
            raise SourceError(
                f"{where}, row {self._rows + bad + 1}, column {name!r}: {values[bad]} is not a whole number of 64 bits: correct it "
                "in the source"
            ) from None


def rows_at(body: Any, place: str | None, where: str) -> list[dict[str, Any]]:
    """The list of rows in an answer. Raises SourceError where there is none, or where something in it is no row."""
    rows = value_at(body, place) if place else body
    if not isinstance(rows, list):
        has = f"; it has {', '.join(map(str, body))}" if isinstance(body, dict) else ""
        what = "missing" if rows is None else WORDS.get(type(rows), "no list")
        raise SourceError(
            f"{where}: {place or 'the answer'} is {what}, expected is a list of rows{has}: correct rows, as in data.items"
        )
    bad = next((n for n, row in enumerate(rows) if not isinstance(row, dict)), None)
    if bad is not None:
        raise SourceError(
            f"{where}, row {bad + 1} is {rows[bad]!r:.80}, expected is an object with the columns: correct rows"
        )
    return rows


def value_at(body: Any, place: str) -> Any:
    """What stands at a place such as meta.next; None where nothing does."""
    value = _at(body, place)
    return None if value is ABSENT else value


def _at(value: Any, place: str) -> Any:
    """What stands there, ABSENT where it is not named; of a null nothing is absent, it is missing."""
    for name in place.split("."):
        if value is None:
            return None
        if not isinstance(value, dict) or name not in value:
            return ABSENT
        value = value[name]
    return value
