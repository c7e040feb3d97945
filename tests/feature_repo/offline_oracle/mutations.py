"""Mistakes that a point-in-time join can have, each as the place at which it departs from the right one."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass

RIGHT = "none"
LARGEST = 2**80


@dataclass(frozen=True)
class Mutation:
    """The places at which a join goes wrong; as they stand here, right."""

    find: Callable[[list[int], int], int] = bisect_right
    """How many rows are candidates by their event timestamp."""
    later: int = 0
    """Units (the finest in play) by which the last usable event timestamp is after the question."""
    ttl_more: int = 0
    """Units by which the time to live is too long."""
    ttl_of: Callable[[int], int] = lambda ttl: ttl
    """The time to live that is honoured instead of the view's; 0 for ever."""
    ttl_per_batch: bool = False
    """Whether expiry is judged at the latest question of all."""
    nulls_match: bool = False
    rank: Callable[[int | None], int] = lambda created: -LARGEST if created is None else created
    place: Callable[[int], int] = lambda place: place
    filter_ignored: bool = False
    filter_open: bool = False
    filter_null_known: bool = False
    fills_nulls: bool = False
    first_part_only: bool = False
    alias_ignored: bool = False
    filter_after_choice: bool = False
    rows: Callable[[list[dict]], list[dict]] = lambda rows: rows


def unique_rows(rows: list[dict]) -> list[dict]:
    """Rows with the same key and moment once."""
    return list(
        {tuple(row[n] for n in ("id", "part", "other_id", "event_timestamp")): row for row in rows}.values()
    )


def by_moment(rows: list[dict]) -> list[dict]:
    """Rows in the order of their moments."""
    return sorted(
        rows, key=lambda row: -LARGEST if row["event_timestamp"] is None else row["event_timestamp"]
    )


def without_unmatched(rows: list[dict]) -> list[dict]:
    """Rows that have some feature."""
    asked = {"id", "part", "other_id", "row", "event_timestamp"}
    return [row for row in rows if any(v is not None for n, v in row.items() if n not in asked)]


MUTATIONS: dict[str, Mutation] = {
    RIGHT: Mutation(),
    "newest before, not at, the moment (< for <=)": Mutation(find=bisect_left),
    "one unit of the future allowed": Mutation(later=1),
    "all of the future allowed": Mutation(later=LARGEST),
    "ttl one unit too long": Mutation(ttl_more=1),
    "ttl one unit too short (> for >=)": Mutation(ttl_more=-1),
    "ttl ignored": Mutation(ttl_of=lambda ttl: 0),
    "ttl zero expires at once": Mutation(ttl_of=lambda ttl: ttl or 1),
    "ttl against the newest question": Mutation(ttl_per_batch=True),
    "earliest created wins a tie": Mutation(rank=lambda created: LARGEST if created is None else -created),
    "created ignored": Mutation(rank=lambda created: 0),
    "null created wins a tie": Mutation(rank=lambda created: LARGEST if created is None else created),
    "first row of the source wins a full tie": Mutation(place=lambda place: -place),
    "null matches null": Mutation(nulls_match=True),
    "filter by created ignored": Mutation(filter_ignored=True),
    "created at the moment itself is not known": Mutation(filter_open=True),
    "null created counts as known": Mutation(filter_null_known=True),
    "filter by created after the choice": Mutation(filter_after_choice=True),
    "nulls filled from older rows": Mutation(fills_nulls=True),
    "second part of the key ignored": Mutation(first_part_only=True),
    "alias ignored": Mutation(alias_ignored=True),
    "order lost": Mutation(rows=by_moment),
    "duplicate entity rows dropped": Mutation(rows=unique_rows),
    "last entity row dropped": Mutation(rows=lambda rows: rows[:-1]),
    "entity rows without a match dropped": Mutation(rows=without_unmatched),
}
