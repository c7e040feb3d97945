"""Which champion the later ones are held against: the last that was shown to be better, through promotions and rollbacks."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.promotion.history import REPLACES, SHOWN_BETTER, find_anchor, in_line
from resources.audit.log import Entry

START = datetime(2020, 1, 1, tzinfo=UTC)
STEPS = st.lists(st.one_of(st.booleans(), st.integers(1, 8)), max_size=20)
"""A promotion that was shown to be better or not, or a rollback to one of the champions there were."""


def change(kind: str, version: int, replaces: int | None, **evidence: bool) -> Entry:
    said = {REPLACES: replaces, **evidence}
    return Entry(1, "", "", kind, "parcels", version, "ada", "", START, START, said, "")  # type: ignore[arg-type]


@given(steps=STEPS, first=st.booleans())
def test_it_is_the_last_in_the_line_that_was_shown_to_be_better_else_the_first(steps, first):
    line, better, known = [1], {1} if first else set(), 1
    changes = [change("promoted", 1, None, **{SHOWN_BETTER: first})]
    for step in steps:
        if isinstance(step, bool):
            known += 1
            changes.append(change("promoted", known, line[-1], **{SHOWN_BETTER: step}))
            line, better = [*line, known], better | ({known} if step else set())
        elif step in line[:-1]:
            changes.append(change("rolled_back", step, line[-1]))
            line = line[: line.index(step) + 1]
        assert in_line(changes) == line
        for at, champion in enumerate(line):
            shown = [version for version in line[: at + 1] if version in better]
            assert find_anchor(changes, champion) == (shown[-1] if shown else line[0])


def test_a_version_that_a_person_takes_back_from_outside_of_the_line_brings_its_own_evidence():
    changes = [
        change("promoted", 1, None, shown_better=False),
        change("promoted", 2, 1, shown_better=True),
        change("promoted", 3, 2, shown_better=False),
        change("rolled_back", 1, 3),
    ]
    assert find_anchor(changes, 1) == 1
    assert find_anchor([*changes, change("rolled_back", 2, 1)], 2) == 2
    assert find_anchor([*changes, change("rolled_back", 3, 1)], 3) == 1


@pytest.mark.parametrize("changes", [[], [change("promoted", 1, None), change("promoted", 2, 1)]])
def test_a_champion_that_no_change_explains_stands_at_the_end_of_the_line(changes):
    assert find_anchor(changes, 9) == (1 if changes else 9)
