"""The cases by name: each one sentence about the join, with the smallest world in which it can be wrong."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa

from tests.feature_repo.offline_oracle.oracle import Nanoseconds, Row
from tests.feature_repo.offline_oracle.world import HOUR, SECOND, Entities, View, World

NOON = 1_709_294_400 * SECOND
"""2024-03-01T12:00Z, hour 0 of the cases."""
TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()


@dataclass(frozen=True)
class Case:
    """A world and what the join's rules say of it in one sentence; `ordered` if the order of rows is the point."""

    sentence: str
    world: World
    ordered: bool = False


CASES: dict[str, Case] = {}


def case(
    name: str, sentence: str, views: View | list[View], asked: Entities, ordered: bool = False, **world: Any
):
    """Adds a case."""
    assert name not in CASES
    CASES[name] = Case(
        sentence, World(views if isinstance(views, list) else [views], asked, **world), ordered
    )


def moment(hours: float | None) -> Nanoseconds | None:
    """The instant so many hours after noon."""
    return None if hours is None else NOON + round(hours * HOUR)


def row(key: Any, hours: float | None, x: Any = None, created: float | None = None, **values: Any) -> Row:
    """A source's row with feature x, its times in hours after noon."""
    return Row(key if isinstance(key, tuple) else (key,), moment(hours), moment(created), {"x": x} | values)


def view(rows: list[Row], name: str = "v", **options: Any) -> View:
    """A view of the text key `id` with the whole-number feature `x`, unless said otherwise."""
    return View(name, **({"keys": {"id": TEXT}, "features": {"x": WHOLE}, "rows": rows} | options))


def ask(
    ids: list[Any], hours: list[float | None], columns: dict[str, Any] | None = None, **options: Any
) -> Entities:
    """An entity frame with column `id`, its times in hours after noon, and the number of each row."""
    numbered = {"id": ids} | (columns or {}) | {"row": list(range(len(ids)))}
    return Entities(numbered, [moment(h) for h in hours], **options)


def hours(number: float) -> timedelta:
    """A time to live."""
    return timedelta(hours=number)
