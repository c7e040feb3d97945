"""What an evaluation leaves behind: every number that was weighed, the same bytes each time, and a page."""

import hashlib
import json
from datetime import datetime
from types import SimpleNamespace

import dagster as dg
import numpy as np
import polars as pl
import pytest

from mlops_assets.assets.evaluation import anchor_metadata, evaluation_metadata
from mlops_assets.ml.judging.gate import PromotionError
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages import judging
from mlops_assets.stages.judging import judge_challenger
from resources.audit.log import Audit
from resources.lake.lake import Lake
from resources.records.documents import save_record
from resources.systems import Systems
from tests import record_samples
from tests.pumps.project import SPEC, WEEKS

NAME, LAST = SPEC.name, WEEKS.names()[-1]
NOW = WEEKS.partition(LAST).end
REASON = {"reason": "by hand", "trigger": None}


class Guess:
    """Stands in for a model: of which share of the rows it knows the truth is written in its bytes."""

    def __init__(self, model: bytes, **_: object):
        self.knows = float(model)

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        told = np.random.default_rng(int(100 * self.knows)).random(frame.height) < self.knows
        return np.where(told, frame["_label"].to_numpy(), 0.3)


@pytest.fixture(autouse=True)
def scorers(monkeypatch):
    monkeypatch.setattr(judging, "Scorer", Guess)


@pytest.fixture
def lake(tmp_path) -> Lake:
    """A lake with nine weeks of pumps and a challenger that was trained at the end of the last."""
    lake = Lake(root=str(tmp_path))
    notes = {"features": ["vibration"], "feature definitions": "one"}
    for name in WEEKS.names():
        span = WEEKS.partition(name)
        start, end = span.start, span.end
        times = pl.datetime_range(
            start, end, "10m", closed="left", eager=True, time_unit="us", time_zone="UTC"
        )
        dice = np.random.default_rng(int(start.timestamp()))
        stopped = np.where(dice.random(len(times)) < 0.3, 30.0, 0.0)
        rows = pl.DataFrame({"check_id": [str(t) for t in times], "checked_at": times, "known_at": times})
        site = dice.choice(["north", "south"], len(times))
        lake.write(
            f"{NAME}/training_set", rows.with_columns(stopped_minutes=stopped, site=site), name, notes=notes
        )
    candidate = record_samples.challenger(week=LAST, now=NOW.isoformat(), version=3)
    save_record(lake, f"{NAME}/challenger", candidate)
    return lake


def version(number: int, model: bytes, until: datetime) -> SimpleNamespace:
    digest = hashlib.sha256(model).hexdigest()
    return SimpleNamespace(
        number=number,
        model=model,
        sha256=digest,
        trained_until=until,
        identity=str(number),
        tags={},
        trainer=None,
    )


def registry(challenger: bytes, champion: bytes | None) -> SimpleNamespace:
    """A tracking resource that holds a challenger, version 3, and perhaps a champion, version 2."""
    start = SPEC.calendar.days_before(NOW, SPEC.window.hold_out_days)
    held = [version(3, challenger, start)] + ([version(2, champion, start)] if champion else [])
    return SimpleNamespace(
        version=lambda name, number: next(v for v in held if v.number == number),
        champion=lambda name: next((v for v in held if v.number == 2), None),
        load=lambda v: v.model,
        versions=lambda name: held,
    )


def judged(lake: Lake, challenger: bytes, champion: bytes | None, above: float = 0, **gate) -> judging.Judged:
    rules = {"slices": ["site"], "gate": SPEC.gate.model_dump() | gate}
    label = {"label": SPEC.label.model_dump() | {"above": above}}
    spec = ModelSpec.model_validate(SPEC.model_dump() | rules | label)
    audit = Audit(folder=f"{lake.root}/audit")
    systems = Systems.of({"lake": lake, "tracking": registry(challenger, champion), "audit": audit})
    return judge_challenger(spec, systems, REASON)


def test_the_record_holds_the_rule_and_every_number_that_was_held_against_it(lake):
    found = judged(lake, b"0.5", b"0.4", floors={"auc": 0.6})
    record = lake.read_json(f"{NAME}/attempts/{LAST}")
    assert record == found.attempt.document()
    assert record["promote"] and record["verdict"].startswith("Promoted: log_loss ")
    evidence = record["evidence"]
    assert evidence["rule"]["evidence"] == "superiority" and evidence["rule"]["alpha"] == 0.05
    assert [(c["kind"], c["name"]) for c in evidence["criteria"]] == [
        ("floor", "auc"),
        ("evidence", "log_loss"),
        ("slice", "site north"),
        ("slice", "site south"),
        ("calibration", "calibration_error"),
    ]
    duel = evidence["criteria"][1]
    assert duel["gain"] == pytest.approx(
        record["champion"]["metrics"]["log_loss"] - record["challenger"]["metrics"]["log_loss"]
    )
    assert 0 < duel["low"] < duel["gain"] < duel["high"]
    assert (duel["clusters"], duel["rows"], duel["passes"]) == (7, record["hold_out"]["rows"], True)
    assert [day["cluster"] for day in evidence["clusters"]] == [f"2024-02-{d:02}" for d in range(26, 30)] + [
        f"2024-03-{d:02}" for d in range(1, 4)
    ]
    assert evidence["detectable_gain"] > 0 and evidence["skipped_slices"] == []


def test_the_same_evaluation_leaves_the_same_bytes_whatever_time_predictions_took(lake, monkeypatch):
    digests = set()
    for milliseconds in (0.3, 70.0):
        monkeypatch.setattr(judging, "latency", lambda *_, ms=milliseconds: {1: ms, 1000: 2 * ms})
        found = judged(lake, b"0.5", b"0.4", guards={"latency_ms": 100, "size_mb": 1})
        assert [cost["ms for 1 row"] for cost in found.costs] == [milliseconds] * 2
        digests.add(found.digest)
    assert len(digests) == 1


def test_a_limit_on_latency_is_held_against_what_was_measured(lake, monkeypatch):
    monkeypatch.setattr(judging, "latency", lambda *_: {1: 101.0, 1000: 500.0})
    found = judged(lake, b"0.5", b"0.4", guards={"latency_ms": 100})
    assert not found.verdict.promote
    assert "one prediction takes longer than the limit of 100 ms" in found.verdict.reason


def test_the_first_champion_has_floors_and_no_tests(lake):
    found = judged(lake, b"0.5", None, floors={"auc": 0.6})
    assert found.verdict.reason.startswith("Promoted as the first champion: auc ")
    assert [c["kind"] for c in found.attempt.evidence.criteria] == ["floor"]
    assert found.attempt.evidence.detectable_gain is None
    assert [cost["model"] for cost in found.costs] == ["challenger, version 3"]


def test_a_version_compared_with_itself_is_refused_and_leaves_no_record(lake):
    with pytest.raises(
        PromotionError, match="challenger version 3 and champion version 2 are the same model"
    ):
        judged(lake, b"0.5", b"0.5")
    assert lake.read_json(f"{NAME}/attempts/{LAST}") is None


@pytest.mark.parametrize("champion", [b"0.4", None])
def test_of_rows_of_one_class_page_and_record_say_what_is_not_defined(lake, champion):
    found = judged(lake, b"0.5", champion, above=1e9, metric="auc", floors={"auc": 0.6})
    record = json.dumps(lake.read_json(f"{NAME}/attempts/{LAST}"), allow_nan=False)
    page = evaluation_metadata(found)
    assert not found.verdict.promote and "nan" not in record.lower()
    assert "auc undefined, one class, misses the floor of at least 0.6" in page["verdict"]
    assert "| auc | undefined, one class |" in page["metrics"].value
    tests = {line.split(" | ")[0]: line for line in page["tests"].value.splitlines()[2:]}
    assert "| floor auc | undefined, one class |" in tests["| floor auc"]
    if champion:
        assert tests["| evidence auc"].count("undefined") == 5
        skipped = page["slices too small to test"].value
        assert skipped.count("auc is undefined, one class") == 2


def test_the_page_begins_with_the_verdict_and_shows_each_test_with_its_interval(lake):
    page = evaluation_metadata(judged(lake, b"0.5", b"0.4", floors={"auc": 0.6}))
    assert next(iter(page)) == "verdict"
    tests, slices = page["tests"].value.splitlines(), page["slice tests"].value.splitlines()
    assert tests[0] == "| test | challenger | champion | gain | 90% interval | p | limit | passes |"
    assert [line.split(" | ")[0] for line in tests[2:]] == [
        "| floor auc",
        "| evidence log_loss",
        "| calibration calibration_error",
    ]
    assert len(page["tests"].value) < 1000, "Dagster hides longer Markdown behind a click"
    assert "| site north |" in slices[2] and "corrected p" in slices[0]
    assert isinstance(page["gain by day plot"], dg.MarkdownMetadataValue)
    assert "gain by slice plot" in page and "reliability plot" in page
    assert list(page["size and latency"].value.splitlines()[0].split(" | ")) == [
        "| model",
        "bytes",
        "ms for 1 row",
        "ms for 1,000 rows |",
    ]
    assert page["challenger bytes"] == 3 and page["challenger ms for 1 row"] > 0
    json.dumps({k: str(v) for k, v in page.items()})


def test_the_page_shows_the_anchor_and_what_is_left_of_the_margin(lake):
    found = judged(lake, b"0.5", b"0.4", evidence="non_inferiority", tolerance=0.01, yearly_margin=0.02)
    page = evaluation_metadata(found)
    assert page["anchor version"] == 2
    assert page["yearly margin"] == "0.02: 0.0000 spent by the champion, 0.0200 left"
    assert "| anchor log_loss |" in page["tests"].value
    unknown = found.attempt.anchor.model_copy(update={"spent": None, "left": None})
    assert anchor_metadata(unknown)["yearly margin"] == "0.02, unknown what is left"
    assert anchor_metadata(None) == {} and "anchor version" not in evaluation_metadata(
        judged(lake, b"0.5", b"0.4")
    )
