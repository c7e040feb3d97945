"""The checker finds every breach that is planted, by its rule and in its words, and none where nothing is wrong."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from mlops_assets.verify.parity import State
from resources.lake.lake import parquet
from tests.chaos.checker import RULES, Model, Run, Seen, breaches

MODEL = Model("loans", "shop/rows", "id", "at", "ingest_shop")
START = datetime(2024, 1, 1, tzinfo=UTC)
FIRST, SECOND = "2024-01-01", "2024-01-08"
AUDIT, SCORES = "decisions/audit/", "scores/loans/predictions@2024-01-08"


def rows(first: int, count: int) -> pl.DataFrame:
    ids = range(first, first + count)
    return pl.DataFrame({"id": ids, "at": [START + timedelta(days=one) for one in ids]})


def entry(seq: int, kind: str, version: int, **evidence: Any) -> dict[str, Any]:
    moment = (START + timedelta(days=7)).isoformat()
    return {
        "seq": seq,
        "kind": kind,
        "model": "loans",
        "version": version,
        "moment": moment,
        "evidence": evidence,
    }


def version(number: int) -> dict[str, Any]:
    return {"number": number, "identity": f"fit {number}", "sha256": "a", "bytes": "a"}


DOCUMENTS = {
    f"{AUDIT}whole": "None",
    f"{AUDIT}000001": entry(1, "evaluated", 1, evaluation="e1", passed=True),
    f"{AUDIT}000002": entry(2, "promoted", 2, evaluation="e1"),
    "decisions/registry/loans": {"champion": 2},
    "decisions/registry/loans/1": version(1),
    "decisions/registry/loans/2": version(2),
    "decisions/deployed/loans.json": {"version": "2"},
}
TABLES = {
    f"tables/shop/rows@{FIRST}": parquet(rows(0, 7)),
    f"tables/shop/rows@{SECOND}": parquet(rows(7, 7)),
    SCORES: parquet(rows(7, 7)),
}
RUNS = [
    Run("a", "ingest_shop", "SUCCESS", FIRST),
    Run("b", "ingest_shop", "FAILURE", SECOND),
    Run("c", "ingest_shop", "SUCCESS", SECOND),
    Run("d", "loans_retrain", "SUCCESS", None, "retrain", "k"),
    Run("e", "loans_retrain", "FAILURE", None, "retrain", "k"),
]
WHOLE = Seen(MODEL, State(TABLES, DOCUMENTS), RUNS, [FIRST, SECOND], 2, {"p1": 3}, {"p1": 3, "p2": 4})


def tables(**changed: bytes | None) -> Seen:
    merged = {**TABLES, **{name.replace("scores", SCORES): content for name, content in changed.items()}}
    return replace(WHOLE, state=State({n: c for n, c in merged.items() if c is not None}, DOCUMENTS))


def documents(changed: dict[str, Any]) -> Seen:
    return replace(WHOLE, state=State(TABLES, {**DOCUMENTS, **changed}))


def with_runs(*more: Run) -> Seen:
    return replace(WHOLE, runs=[*RUNS, *more])


def test_where_nothing_is_wrong_nothing_is_said():
    assert breaches(WHOLE) == []


PLANTED: dict[str, tuple[Callable[[], Seen], str]] = {
    "an entry is gone": (
        lambda: documents({f"{AUDIT}whole": "entry 2 is missing"}),
        "the audit log is not whole: entry 2 is missing",
    ),
    "a window is lost": (
        lambda: replace(
            WHOLE,
            windows=[FIRST, SECOND, "2024-01-15"],
            runs=[*RUNS, Run("f", "ingest_shop", "SUCCESS", "2024-01-15")],
        ),
        "window 2024-01-15 was accepted, and shop/rows does not have it",
    ),
    "a window is there twice": (
        lambda: tables(**{"tables/shop/rows@2024-01-15": parquet(rows(13, 1))}),
        "shop/rows has 1 rows more than once, the first 13",
    ),
    "a row is not scored": (
        lambda: tables(scores=parquet(rows(7, 6))),
        "1 of 7 rows since the first promotion are not scored, the first 13",
    ),
    "no row is scored": (
        lambda: tables(scores=None),
        "7 of 7 rows since the first promotion are not scored, the first 7",
    ),
    "a row is scored twice": (
        lambda: tables(scores=parquet(pl.concat([rows(7, 7), rows(9, 1)]))),
        "scored was 1 rows more than once, the first 9",
    ),
    "a score is of no row": (
        lambda: tables(scores=parquet(rows(7, 8))),
        "1 scores are of rows that are not there, the first 14",
    ),
    "no evaluation backs a promotion": (
        lambda: documents({f"{AUDIT}000001": entry(1, "evaluated", 1, evaluation="e0", passed=True)}),
        "version 2 was promoted (entry 2) without an evaluation that it passed",
    ),
    "the evaluation was not passed": (
        lambda: documents({f"{AUDIT}000001": entry(1, "evaluated", 1, evaluation="e1", passed=False)}),
        "version 2 was promoted (entry 2) without an evaluation that it passed",
    ),
    "a promotion is there twice": (
        lambda: documents({f"{AUDIT}000003": entry(3, "promoted", 2, evaluation="e1")}),
        "version 2 was made champion twice in a row (entry 3)",
    ),
    "the registry has another champion": (
        lambda: documents({"decisions/registry/loans": {"champion": 1}}),
        "different champions: the log says 2, the registry says 1, the record says 2, the endpoint says 2",
    ),
    "the record is of another version": (
        lambda: documents({"decisions/deployed/loans.json": {"version": "1"}}),
        "different champions: the log says 2, the registry says 2, the record says 1, the endpoint says 2",
    ),
    "the endpoint answers with another version": (
        lambda: replace(WHOLE, answers=1),
        "different champions: the log says 2, the registry says 2, the record says 2, the endpoint says 1",
    ),
    "the endpoint does not answer": (
        lambda: replace(WHOLE, answers=None),
        "different champions: the log says 2, the registry says 2, the record says 2, the endpoint says None",
    ),
    "a fit is registered twice": (
        lambda: documents({"decisions/registry/loans/3": version(3) | {"identity": "fit 1"}}),
        "2 versions are the same fit fit 1",
    ),
    "a model's bytes are others": (
        lambda: documents({"decisions/registry/loans/1": version(1) | {"bytes": "b"}}),
        "version 1 has other bytes than it was registered with",
    ),
    "a request ran twice": (
        lambda: with_runs(Run("f", "loans_retrain", "SUCCESS", None, "retrain", "k")),
        "retrain asked once for k, and 2 runs made it",
    ),
    "an accepted window was never made": (
        lambda: replace(WHOLE, runs=[run for run in RUNS if run.id != "c"]),
        f"window {SECOND} was accepted, and no run of ingest_shop succeeded",
    ),
    "a run hangs": (
        lambda: with_runs(Run("f", "loans_retrain", "STARTED")),
        "run f of loans_retrain is STARTED though everything has ended",
    ),
    "a push is lost": (
        lambda: replace(WHOLE, joined={"p2": 4}),
        "the push of p1 was acknowledged, and no join has it",
    ),
    "a push was overwritten": (
        lambda: replace(WHOLE, joined={"p1": 2}),
        "the push of p1 was acknowledged as 3, and a join gives 2",
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_said_and_nothing_else(planted):
    seen, said = PLANTED[planted]
    assert breaches(seen()) == [said]


def test_every_rule_finds_something_that_is_planted():
    found = {rule.__name__ for rule in RULES for seen, _ in PLANTED.values() if list(rule(seen()))}
    assert found == {rule.__name__ for rule in RULES}
