"""An entry that makes a champion moves nothing unless training, evaluation and approval are in the log and match it."""

from dataclasses import replace
from typing import Any

import pytest

from mlops_assets.promotion.champion import ChampionError, change_champion
from mlops_assets.promotion.errors import UnfoundedError
from resources.audit.log import Entry
from tests.resources.test_champion_changes import (
    NAME,
    State,
    evidence_entry,
    grounds,
    month,
    promotion,
    record_spec,
    registered,
    state,
)

__all__ = ["registered", "state"]


@pytest.fixture
def served(state) -> State:
    """Version 1 was promoted and is answered with."""
    state.deploy(1, None)
    return state


def planted(state: State, number: int, evidence: dict[str, Any], kind: Any = "promoted") -> Entry:
    """A change that a stranger who holds the key seals into the log, past the door that checks."""
    return state.audit.record(
        kind,
        NAME,
        identity={"planted": number},
        by="mallory",
        why="trust me",
        moment=month(6),
        evidence={"replaces": 1, "serves": None, **evidence},
        version=number,
    )


def test_a_planted_promotion_moves_nothing_and_is_told_with_what_to_do(served, caplog):
    entry = planted(served, 2, {"run": "r"})
    said = rf"entry {entry.seq} of the audit log \(promoted by mallory\) makes version 2 champion, and the log has no training"
    for act in (served.reconcile, lambda: served.deploy(3, 2)):
        with pytest.raises(UnfoundedError, match=said):
            act()
    assert (served.aliases, served.published) == ((1, None), "1")
    assert "nothing follows it. `mlops rollback late_parcel" in caplog.text
    assert served.tracking.anchors()[NAME][0] < entry.seq


def test_a_rollback_leads_back_from_a_planted_promotion_and_never_to_it(served):
    served.deploy(2, 1)
    planted(served, 3, {})
    assert served.back().version == 2
    assert (served.aliases[0], served.published) == (2, "2")
    with pytest.raises(ChampionError, match=r"version 3 was never champion.*there were: 1, 2"):
        served.back(3)
    assert served.reconcile() == []


def test_a_planted_rollback_to_what_never_was_champion_moves_nothing(served):
    planted(served, 3, {}, "rolled_back")
    with pytest.raises(
        UnfoundedError, match="no promotion that rests on an evaluation ever made that version champion"
    ):
        served.reconcile()
    assert served.aliases == (1, None)


def test_a_promotion_whose_grounds_are_all_there_is_followed(served):
    planted(served, 2, grounds(served, 2, 1))
    assert served.reconcile() != []
    assert served.aliases == (2, 1)


@pytest.mark.parametrize(
    ("judged", "evidence", "said"),
    [
        ({}, {"sha256": "0" * 64}, "the model file is not the one of its training, entry"),
        ({}, {"evaluation": "another"}, r"its evaluation \(sha256 another\) is not in the log before it"),
        ({}, {"challenger": 3}, "is of version 2, not of 3"),
        ({"passed": False}, {}, "did not pass the gate"),
        ({"champion": 3}, {}, "compared it with 3, and it replaces 1"),
        ({"champion": None}, {}, "compared it with no champion, and it replaces 1"),
    ],
)
def test_evidence_that_does_not_match_is_refused_before_it_is_recorded_and_not_followed_after(
    served, judged, evidence, said
):
    false = {**grounds(served, 2, 1, **judged), **evidence}
    change = replace(promotion(2, 1), evidence=false)
    with pytest.raises(ChampionError, match=f"version 2 does not become champion: .*{said}"):
        change_champion(served.systems, change, None)
    assert served.changes == [("promoted", 1, None)]
    planted(served, 2, false)
    with pytest.raises(UnfoundedError, match=said):
        served.reconcile()
    assert served.aliases == (1, None)


def approval(state: State, kind: str = "approved", by: str = "ada", version: int = 2) -> Entry:
    about = {"evaluation": "2 against 1"}
    return evidence_entry(state.audit, kind, version, {**about, "version": version}, about, by)


def of(entry: Entry) -> dict[str, Any]:
    return {"approval": entry.hash}


@pytest.mark.parametrize(
    ("approve", "said"),
    [
        (lambda _: {}, "the approval that the spec asks for is not in the log before it"),
        (
            lambda state: of(approval(state)) and {},
            "the approval that the spec asks for is not in the log before it",
        ),
        (lambda state: of(approval(state, by="mallory")), "is by mallory, who is no approver"),
        (
            lambda state: of(approval(state, version=3)),
            "the approval that the spec asks for is not in the log",
        ),
        (
            lambda state: of(approval(state)) | of(approval(state, "rejected")),
            "its challenger was rejected by ada",
        ),
    ],
)
def test_where_the_spec_asks_for_an_approval_one_that_matches_must_be_in_the_log(served, approve, said):
    evidence = grounds(served, 2, 1)
    record_spec(served.audit, "approval")
    planted(served, 2, evidence | approve(served))
    with pytest.raises(UnfoundedError, match=said):
        served.reconcile()
    assert served.aliases == (1, None)


def test_an_approved_promotion_is_followed(served):
    evidence = grounds(served, 2, 1)
    record_spec(served.audit, "approval")
    planted(served, 2, evidence | of(approval(served)))
    served.reconcile()
    assert served.aliases == (2, 1)
