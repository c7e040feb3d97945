"""Whatever a column of the user's is called, no number changes, or the name is refused when the spec is loaded."""

import re
from datetime import timedelta
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_assets.ml.dataset import label_counts, labelled
from mlops_assets.ml.judging.gate import Contender, judge
from mlops_assets.ml.judging.leaks import strongest
from mlops_assets.ml.judging.metrics import by_slice
from mlops_assets.ml.monitoring.backtest import HistoryPartition, backtest
from mlops_assets.ml.monitoring.drift import column_drift, reference_profile
from mlops_assets.ml.reports.distributions import distributions
from mlops_assets.ml.skew.brute_force import ViewTable, cells_that_differ
from mlops_assets.ml.skew.cells import Logged, View, skewed_cells
from mlops_assets.ml.skew.known_rows import QUESTION_AT, SERVED
from mlops_assets.ml.training.fit import Scorer, fit
from mlops_assets.ml.training.shards import written
from mlops_assets.spec.columns import (
    CHAMPION_SCORE,
    CLUSTER,
    LABEL,
    OURS,
    ROW,
    SCORE,
    SLICE,
    input_clashes,
    label_among_inputs,
)
from mlops_assets.spec.gate import DAY, WEEK
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.scoring import score
from resources.features.inputs import ServiceInputs
from resources.serving import log
from resources.storage.addresses import storage_at
from tests.generated import slow_cases
from tests.ml.conftest import FEATURES, NOW, parcel_spec, parcels
from tests.platform_names import platform_names

ROWS = 600
LONG_AGO = NOW - timedelta(days=1000)
ROLES = ("queue", "weight", "hour", "depot", "parcel", "sent", "seen", "delay", "lane")
"""Features (two plain, one that is a slice too), a category, key, time, label and its moment, and the cluster."""

SAID_BY_THE_SPEC = {("lane", DAY), ("lane", WEEK)}
"""`gate.cluster: day` is a day of the prediction time, whatever columns there are."""

PEOPLES_NAMES = ("score", "label", "count", "model_version", "_row", "week", "probability", "request_id")


def named(role: str, name: str) -> dict[str, str]:
    return {one: name if one == role else one for one in ROLES}


def spec_with(n: dict[str, str]) -> ModelSpec:
    trainer = {"categories": [n["depot"]], "rounds": 4, "threads": 1, "parameters": {"max_depth": 3}}
    gate = {"metric": "auc", "floors": {"auc": 0.6}, "cluster": n["lane"], "minimum_clusters": 3}
    return parcel_spec(
        prediction={"table": "parcels", "key": [n["parcel"]], "time": n["sent"]},
        label={"column": n["delay"], "known_at": n["seen"], "above": 15},
        calendar={"cadence": "weekly", "start": "2019-11-25", "end": "2020-07-06"},
        trainer=trainer,
        gate=gate | {"evidence": "point"},
        slices=[n["depot"], n["hour"]],
    )


def features_with(n: dict[str, str]) -> list[str]:
    return [n.get(name, name) for name in FEATURES]


@lru_cache
def rows() -> pl.DataFrame:
    frame = parcels(ROWS)
    return frame.with_columns(lane=pl.Series(np.arange(ROWS) % 7))


def refusals(n: dict[str, str]) -> list[str]:
    """What is said when a spec with these names is loaded, over a service that joins the parcels' features by depot."""
    try:
        spec = spec_with(n)
    except pydantic.ValidationError as error:
        return [one["msg"] for one in error.errors()]
    inputs = ServiceInputs(
        features={"parcel_state": features_with(n)},
        behind={},
        keys=["depot"],
        requests=[],
        stored=["parcel_state"],
    )
    prediction, label = spec.prediction, spec.label
    return [
        *input_clashes(inputs, prediction.key, prediction.time),
        *label_among_inputs(inputs, label.named_columns),
    ]


def numbers(n: dict[str, str], folder) -> dict[str, Any]:
    """What every pure stage says of the parcels, with the columns renamed; names are taken out again."""
    spec, features, frame = spec_with(n), features_with(n), rows().rename(n, strict=False)
    known = labelled(frame, spec, NOW)
    fitted = fit(known, spec, features)
    other = fit(known, spec, features, rounds=1)
    files = written(known, storage_at(folder), NOW)
    by = by_slice(
        known.with_columns(pl.Series(SCORE, Scorer(fitted.model).predict(known))), spec.slices, spec.task
    )
    first, second = (
        Contender.of(name, model, spec, LONG_AGO) for name, model in (("a", fitted.model), ("b", other.model))
    )
    verdict = judge(known, first, second, spec, second)
    compared = [*features, n["depot"]]
    profile = reference_profile(frame[:300], compared, spec.trainer.categories)
    moved = column_drift(profile, frame[300:])
    spread = distributions(frame.select(*compared, "parcel" if n["parcel"] == "parcel" else n["parcel"]))
    version = SimpleNamespace(number=1, trainer="xgboost", promotions=[frame[n["sent"]][100]])
    tracking: Any = SimpleNamespace(load=lambda _: fitted.model)
    scored = score(spec, frame, [version], tracking)  # type: ignore[list-item]
    end = frame[n["sent"]][0] + timedelta(days=spec.window.hold_out_days)
    week = HistoryPartition("w", end, frame, lambda: known)
    tried = backtest(spec, spec.retrain, [week, week], lambda *_: (fitted.model, 4))
    return {
        "counts": label_counts(frame, spec, NOW),
        "label": known[LABEL].to_list(),
        "scores": Scorer(fitted.model).predict(frame).tolist(),
        "files": files.read(spec)[LABEL].to_list(),
        "importance": list(fitted.importance.values()),
        "slices": [(one["value"], one["rows"], one["auc"]) for one in by],
        "verdict": (verdict.promote, verdict.challenger, verdict.champion, verdict.gains),
        "criteria": [(c.kind, c.limit, c.passes) for c in verdict.criteria],
        "drift": moved.drop("column").rows(),
        "distributions": [(one["missing"], one["min"], one["median"], one["max"]) for one in spread],
        "shown": [re.sub(r"!\[.*?\]", "", one["values"]) for one in spread],
        "predictions": scored.select("score", "model_version").rows(),
        "leaks": sorted(one.figure for one in strongest(known, spec, features)),
        "backtest": (tried.scored.height, tried.promoted, tried.scored["score"].sum()),
        "probe": list(probed(frame, n).values()),
        "skew": skewed(frame, n),
    }


def probed(frame: pl.DataFrame, n: dict[str, str]) -> dict[str, int]:
    """What the leak probe finds of a feature that was joined a day before it was known, in every third row."""
    time, feature, key = n["sent"], n["queue"], n["depot"]
    table = frame.select(key, pl.col(time).alias("event_timestamp"), pl.lit(1.0).alias(feature)).unique(
        [key, "event_timestamp"], maintain_order=True
    )
    joined = frame.with_columns(
        pl.when(pl.int_range(pl.len()) % 3 == 0).then(2.0).otherwise(1.0).alias(feature)
    )
    view = ViewTable("state", table, [key], [feature], timedelta(days=400))
    return cells_that_differ(frame, joined, time, view)


def skewed(frame: pl.DataFrame, n: dict[str, str]) -> list[tuple]:
    """The verdicts on a feature that was served as another value, for requests that name a depot."""
    feature, key = n["queue"], n["depot"]
    few = frame[:6]
    moments = few[n["sent"]]
    asked = pl.DataFrame({key: few[key], QUESTION_AT: moments, SERVED: moments})
    served = pl.DataFrame({feature: np.arange(6.0)})
    logged = Logged(
        values=served,
        event_times=pl.DataFrame({feature: moments}),
        presence=pl.DataFrame({feature: [True] * 6}),
        held=pl.DataFrame({feature: [False] * 6}),
        questions=asked,
    )
    offline = pl.DataFrame(
        {key: few[key], "event_timestamp": moments, "created": moments, "_written": moments},
    )
    view = View("state", [feature], [key], timedelta(days=3))
    cells = skewed_cells(logged, served + 1.0, [view], lambda *_: offline)
    return cells.select("row", "verdict", "gap", "offline_event").rows()


@pytest.fixture(scope="module")
def true_numbers(tmp_path_factory):
    return numbers(named("queue", "queue"), tmp_path_factory.mktemp("true"))


def test_every_name_that_the_platform_adds_to_rows_is_kept_for_it_and_among_the_names_tried():
    folders = {"DEFINITIONS", "SHADOWS"}
    logged = [value for name, value in vars(log).items() if name.isupper() and name not in folders]
    own = [LABEL, SCORE, CHAMPION_SCORE, CLUSTER, SLICE, ROW, QUESTION_AT, SERVED]
    assert all(name.startswith(OURS) for name in [*own, *(v for v in logged if isinstance(v, str))])
    assert {*own, *PEOPLES_NAMES} <= set(platform_names())
    assert len(platform_names()) > 1000


def test_names_that_people_give_to_features_are_not_refused():
    accepted = {*PEOPLES_NAMES, "prediction", "target", "id", "rows", "value"} - {"_row"}
    assert {name: refusals(named("queue", name)) for name in accepted} == {name: [] for name in accepted}


@slow_cases(10)
@given(role=st.sampled_from(ROLES), name=st.sampled_from(platform_names()))
@example("queue", "score")
@example("queue", "label")
@example("queue", "model_version")
@example("queue", "_row")
@example("depot", "count")
@example("depot", "score")
@example("depot", "rows")
@example("depot", "cluster")
@example("depot", "champion_score")
@example("depot", "asked")
@example("hour", "score")
@example("hour", "slice")
@example("lane", "label")
@example("delay", "label")
@example("parcel", "label")
@example("parcel", "score")
@example("sent", "label")
@example("sent", "event_timestamp")
@example("queue", "created")
@example("queue", "delay")
@example("queue", "seen")
@example("queue", "sent")
@example("queue", "parcel")
@example("queue", "depot")
@example("queue", "ours")
def test_whatever_a_column_is_called_no_number_changes_or_the_name_is_refused(
    tmp_path_factory, true_numbers, role, name
):
    n = named(role, name)
    if told := refusals(n):
        assert any(repr(name) in one for one in told)
    elif name not in rows().columns and (role, name) not in SAID_BY_THE_SPEC:
        assert repr(numbers(n, tmp_path_factory.mktemp("renamed"))) == repr(true_numbers)
