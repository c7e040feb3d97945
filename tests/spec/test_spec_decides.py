"""What decides a fit is listed once: every field of a spec is in the list or left out on purpose, and fits say the same."""

import types
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import polars as pl
import pydantic
import pytest

from mlops_assets.ml.provenance import provenance
from mlops_assets.ml.training.fit import fit
from mlops_assets.ml.training.ladder import choose
from mlops_assets.spec import decides
from mlops_assets.spec.base import Part
from mlops_assets.spec.decides import (
    CODE,
    HASHED_AS,
    OF_A_VERSION,
    TRAINING_SET,
    changes,
    code_of,
    fit_fields,
    named_code,
    of_a_fit,
    of_a_stage,
    spec_digest,
    version_code,
)
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.trainers import spec_kinds
from mlops_assets.spec.typed_columns import Column
from mlops_assets.stages.identity import version_identity
from mlops_assets.stages.lineage import surroundings
from mlops_assets.stages.training import training_files
from mlops_assets.stages.training_set import TrainingData, newest_partition, training_data
from resources.compute.compute import Compute
from resources.lake.lake import Lake
from tests.ml.conftest import parcel_spec, parcels
from tests.pumps import project
from tests.spec_reads import fields_read

KINDS, FIT = [*spec_kinds()], fit_fields()
LEFT_OUT = {
    **dict.fromkeys(
        ("name", "description", "owner"), "whose model it is; a version's identity begins with the name"
    ),
    **dict.fromkeys(
        ("calendar.cadence", "calendar.start", "calendar.end"),
        "which partitions there are: the hash of each that is used is in the identity",
    ),
    "clock": "as of which moment a request is answered",
    "window.minimum_days": "when there is enough to train at all",
    "slices": "what a judge and a report split by",
    **dict.fromkeys(
        ("trainer.accelerator_type", "trainer.resources_per_worker"), "on which machine of a cluster"
    ),
    **dict.fromkeys(
        ("gate", "retrain", "promotion", "rollout", "automation", "deployment"), "what becomes of a model"
    ),
    **dict.fromkeys(("drift", "skew"), "how it is watched"),
    "pods": "on which machine of a cluster",
    "leaks": "what a training is refused for",
    "batch": "which rows it scores beside requests",
    "earlier_code": "what may be imported for versions from before",
    "search": "counts by the parameters it found, which are the trainer's by then",
}
"""Field, or part of the spec with all its fields -> why no model's bytes follow from it."""

ROWS_CHOSEN = {
    *("features", "feature_service", "label.table"),
    *("prediction.table", "prediction.rows", "prediction.request"),
}
"""Read by the join alone: they decide what the rows are, and so what a fit of them means."""

NOT_ONE_OF_MANY = {"name", "trainer.kind", "calendar.start"}
"""What no other value of can be tried on the same rows; the tests below say what these do."""


def fields(kind: type[pydantic.BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a spec that has no fields of its own, by dotted name, with what it may hold."""
    for name, field in kind.model_fields.items():
        parts = [
            t
            for t in (field.annotation, *get_args(field.annotation))
            if isinstance(t, type) and issubclass(t, Part)
        ]
        if not parts:
            yield f"{above}{name}", field.annotation
        for part in parts:
            yield from fields(part, f"{above}{name}.")


def all_fields() -> dict[str, Any]:
    kinds = {f"trainer.{name}": what for kind in spec_kinds().values() for name, what in fields(kind.spec)}
    return dict(fields(ModelSpec)) | kinds


def left_out(path: str) -> bool:
    return path in LEFT_OUT or path.partition(".")[0] in LEFT_OUT


FIELDS = all_fields()


def test_every_field_of_a_spec_decides_a_fit_or_is_left_out_for_a_reason():
    """A new field is in neither, and then this fails until somebody says which it is."""
    assert len(FIELDS) > 70
    assert [path for path in FIELDS if (path in FIT) == left_out(path)] == []
    assert {*FIT} <= {*FIELDS} and {*TRAINING_SET} <= {*FIELDS}


def another(what: Any, value: Any) -> Any:
    """A value of a field that is not the one it has."""
    if get_origin(what) is Annotated:
        return another(get_args(what)[0], value)
    if get_origin(what) is Literal:
        return next(one for one in get_args(what) if one != value)
    if get_origin(what) in (Union, types.UnionType):
        return another(next(one for one in get_args(what) if one is not type(None)), value)
    plain: dict[Any, Callable[[], Any]] = {
        bool: lambda: not value,
        int: lambda: (value or 0) + 7,
        float: lambda: (value or 0.0) + 0.07,
        str: lambda: f"{value or ''}other",
        date: lambda: value + timedelta(days=28),
        timedelta: lambda: (value or timedelta()) + timedelta(days=3),
        list: lambda: [*(value or []), "other"],
        dict: lambda: {**(value or {}), "other": 1.0},
    }
    return plain[get_origin(what) or what]()


TELLING: dict[str, list[Any]] = {
    "task": ["regression"],
    "prediction.key": [["code"]],
    "prediction.time": ["seen"],
    "prediction.request": [{"weight": Column(type="float")}],
    "label.column": ["weight"],
    "label.known_at": ["sent"],
    "label.above": [9.0],
    "label.delay": [timedelta(days=3)],
    "label.within": [timedelta(days=3)],
    "label.horizon": [timedelta(days=3)],
    "calendar.cadence": ["0 0 * * 1"],
    "calendar.timezone": ["America/New_York"],
    "calendar.end": [date(2021, 1, 4), None],
    "window.days": [21],
    "window.hold_out_days": [7],
    "trainer.categories": [["depot", "code"], []],
    "trainer.rounds": [2],
    "trainer.early_stopping_rounds": [1, 2, 3, 30],
    "trainer.validation_share": [0.4],
    "trainer.parameters": [{"subsample": 0.5}],
    "trainer.compute": ["local"],
    "trainer.cells_in_process": [0],
    "trainer.hidden": [[4]],
    "trainer.loop": ["tests.ml.training.trainers.loops:other_rates"],
    "trainer.scorer": ["tests.ml.training.trainers.loops:Bytes"],
    "prediction.rows": ["mlops_assets.ml.dataset:labelled"],
}
"""Values that stand for another rule on these rows, where a generated one would be none or would name nothing."""


def changed(spec: ModelSpec, path: str, value: Any) -> ModelSpec:
    name, _, below = path.partition(".")
    if not below:
        return spec.model_copy(update={name: value})
    part = getattr(spec, name)
    if part is None or below not in type(part).model_fields:
        return spec
    return spec.model_copy(update={name: changed(part, below, value)})


def valued(spec: Any, path: str) -> Any:
    for name in path.split("."):
        spec = getattr(spec, name, None)
    return spec


def others(spec: ModelSpec, path: str) -> list[ModelSpec]:
    """The spec with this field changed."""
    given = TELLING.get(path) or [another(FIELDS[path], valued(spec, path))]
    return [changed(spec, path, value) for value in given]


@pytest.fixture(scope="module")
def specs() -> dict[str, ModelSpec]:
    """A spec for each kind of trainer, all of the same five weeks."""
    own = {
        "loop": "tests.ml.training.trainers.loops:depot_rates",
        "scorer": "tests.ml.training.trainers.loops:Rates",
    }
    more = {
        "xgboost": {"parameters": {"subsample": 0.3, "eta": 0.9, "max_depth": 2}},
        "lightgbm": {"parameters": {"bagging_fraction": 0.7, "bagging_freq": 1}},
        "torch_tabular": {"rounds": 14, "learning_rate": 0.03, "hidden": [8], "batch_size": 256},
        "function": own,
    }
    base = {"categories": ["depot"], "rounds": 30, "early_stopping_rounds": 4, "threads": 1}
    search = {"trials": 4}
    return {
        kind: parcel_spec(
            trainer=base | {"kind": kind} | more[kind],
            window={"hold_out_days": 10, "minimum_days": 14},
            **({"search": search} if kind == "xgboost" else {}),
        )
        for kind in KINDS
    }


@pytest.fixture(scope="module")
def lake(tmp_path_factory, specs) -> Lake:
    """Five joined weeks of parcels, four of which were sent at the same moment each hour."""
    spec, lake = specs["xgboost"], Lake(root=str(tmp_path_factory.mktemp("lake")))
    rows = parcels(3300).with_columns(
        pl.col("sent").dt.truncate("1h").dt.cast_time_unit("us"),
        pl.col("seen").dt.cast_time_unit("us"),
        code=pl.col("parcel").str.reverse(),
    )
    features = ["queue", "weight", "hour", "noise"]
    for name in spec.calendar.names()[:5]:
        span = spec.calendar.partition(name)
        start, end = span.start, span.end
        part = rows.filter(pl.col("sent").is_between(start, end, closed="left"))
        lake.write(
            f"{spec.name}/training_set", part, name, notes={"features": features, "feature definitions": "1"}
        )
    return lake


def data_of(spec: ModelSpec, lake: Lake) -> TrainingData:
    return training_data(spec, lake, newest_partition(spec, lake))


def identity(spec: ModelSpec, lake: Lake) -> str:
    return version_identity(spec, data_of(spec, lake), "challenger")


def fitted(spec: ModelSpec, lake: Lake, compute: Compute) -> tuple[bytes, Any]:
    """A challenger's bytes, and the step of the ladder and the layout that they need."""
    data = data_of(spec, lake)
    files = training_files(spec, data)
    here = spec.trainer.model_copy(update={"compute": "in_process", "gpu": False})
    on_ray = spec.trainer.model_copy(update={"compute": "local"})
    rung, there = (
        choose(t, files.rows * len(data.features), compute, lambda: True) for t in (spec.trainer, on_ray)
    )
    made = fit(files, spec.model_copy(update={"trainer": here}), data.features)
    return made.model, made.layout | {"step": rung.step, "workers": there.workers, "gpu": spec.trainer.gpu}


def telling(spec: ModelSpec, path: str) -> bool:
    """Whether a spec has this field: its trainer may be of another kind, and then another spec has it."""
    name, _, below = path.partition(".")
    return name != "trainer" or below in type(spec.trainer).model_fields


@pytest.mark.parametrize("path", [path for path in FIELDS if path not in NOT_ONE_OF_MANY])
def test_another_value_makes_another_version_where_the_field_decides_a_fit_and_only_there(path, specs, lake):
    asked = [spec for spec in specs.values() if telling(spec, path)]
    assert asked
    for spec in asked:
        for other in others(spec, path):
            assert (identity(other, lake) != identity(spec, lake)) == (path in FIT), path


def test_a_form_of_its_own_is_only_how_the_endpoint_is_asked(specs, lake):
    spec = specs["xgboost"]
    asked = changed(spec, "prediction.request", "mlops_assets.use_cases.flights.request:FlightRequest")
    assert spec_digest(asked) == spec_digest(spec) and identity(asked, lake) == identity(spec, lake)


def test_a_version_is_of_its_model_and_of_its_kind_of_trainer(specs, lake):
    found = {identity(spec, lake) for spec in specs.values()}
    assert len(found) == len(KINDS)
    spec = specs["xgboost"]
    data = data_of(spec, lake)
    named = spec.model_copy(update={"name": "late_letter"})
    assert version_identity(named, data, "challenger") != version_identity(spec, data, "challenger")


def test_a_calendar_counts_by_the_weeks_that_a_fit_uses(specs, lake):
    """Its end decides nothing, nor does a start before anything was joined; a start that leaves a week out does."""
    spec = specs["xgboost"]
    moved = [
        changed(spec, "calendar.end", spec.calendar.end + timedelta(days=days)) for days in (-140, 7, 3640)
    ]
    moved += [changed(spec, "calendar.start", spec.calendar.start - timedelta(days=28))]
    assert {identity(one, lake) for one in moved} == {identity(spec, lake)}
    assert {tuple(data_of(one, lake).hashes) for one in moved} == {tuple(data_of(spec, lake).hashes)}
    later = changed(spec, "calendar.start", spec.calendar.start + timedelta(days=7))
    assert identity(later, lake) != identity(spec, lake)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bytes_of_a_model_follow_from_what_is_listed_and_from_nothing_else(kind, specs, lake, tmp_path):
    spec, compute = specs[kind], Compute(folder=str(tmp_path), address="")
    common = {path for path in FIELDS if path.partition(".")[0] != "trainer"} if kind == "xgboost" else set()
    asked = sorted(common | {path for path in FIELDS if path.startswith("trainer.") and telling(spec, path)})
    made = fitted(spec, lake, compute)
    same, other = [], []
    for path in asked:
        if path in NOT_ONE_OF_MANY | ROWS_CHOSEN:
            continue
        moved = any(fitted(one, lake, compute) != made for one in others(spec, path))
        (other if moved else same).append(path)
    assert other == [path for path in other if path in FIT]
    assert [path for path in same if path in FIT] == UNUSED[kind]


OF_ITS_OWN = ["early_stopping_rounds", "framework", "parameters", "rounds", "seed"]
UNUSED = {kind: [f"trainer.{name}" for name in OF_ITS_OWN if kind == "function"] for kind in KINDS}
"""Listed, and without a say in the tests' loop: what a loop of one's own reads is known to it alone."""


def test_what_a_fit_reads_of_a_spec_is_listed(specs, lake):
    """Told by the fit itself; on which machine it runs is read on Ray alone, the name only told in errors."""
    for spec in specs.values():
        data = data_of(spec, lake)
        with fields_read() as read:
            fit(training_files(spec, data), spec, data.features)
        leaves = read & {*FIELDS}
        assert leaves - {*FIT} == {"name"}
        assert {"label.above", "window.days", "trainer.rounds", "calendar.timezone"} <= leaves


def hashed_as(path: str) -> str:
    name, dot, below = path.partition(".")
    return HASHED_AS.get(name, name) + dot + below


def test_lineage_names_the_files_of_all_code_that_decides_a_version_and_a_rebuild_may_import_it(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "mlops_assets.stages.lineage.repository_of", lambda use_case: SimpleNamespace(package="")
    )
    monkeypatch.setattr(provenance, "code", lambda repository, modules: asked.extend(modules) or {})
    own = {
        "loop": "tests.ml.training.trainers.loops:depot_rates",
        "scorer": "tests.ml.training.trainers.loops:Rates",
    }
    spec = parcel_spec(trainer={"kind": "function", "categories": ["depot"], **own})
    rows = f"{__name__}:test_a_calendar_of_weeks_is_hashed_as_the_weeks_that_it_was"
    spec = spec.model_copy(update={"prediction": spec.prediction.model_copy(update={"rows": rows})})
    surroundings(spec)
    assert set(version_code(spec)) == {rows, *own.values()} <= spec.code
    for stage in OF_A_VERSION:
        assert {path.split(":")[0] for path in named_code(spec, [stage])} <= set(asked)
        assert set(code_of(stage, spec)) == {*CODE[stage], *named_code(spec, [stage])}


def test_a_calendar_of_weeks_is_hashed_as_the_weeks_that_it_was():
    """Identities of versions from before hold: these digests are those that the last release with weeks gave."""
    pumps = project.SPEC
    content = pumps.model_dump(mode="json")
    weeks = {name: value for name, value in content["calendar"].items() if name != "cadence"}
    before = {name: value for name, value in content.items() if name != "calendar"} | {"weeks": weeks}
    assert spec_digest(pumps) == "d9fef0557c94f3d6fecd6f27def3bedee157adcdaf4aea8e133a8d01a40ac110"
    assert of_a_fit(before) == of_a_fit(content)
    assert all(of_a_stage(stage, before) == of_a_stage(stage, content) for stage in decides.FIELDS)
    assert changes(before, content) == {}
    assert changes(before, content | {"calendar": content["calendar"] | {"cadence": "daily"}}) == {
        "calendar.cadence": ["weekly", "daily"]
    }


def test_the_content_of_a_fit_has_what_is_listed_and_nothing_else(specs):
    for spec in specs.values():
        content = of_a_fit(spec.model_dump(mode="json"))
        found = {f"{a}.{b}" for a, below in content.items() if isinstance(below, dict) for b in below}
        found |= {a for a, below in content.items() if not isinstance(below, dict)}
        unsaid = {
            "label.table",
            "label.delay",
            "label.within",
            "label.horizon",
            "features",
            "prediction.request",
        }
        assert found == {hashed_as(path) for path in FIT if telling(spec, path)} - unsaid
        assert spec_digest(spec) == spec_digest(ModelSpec.model_validate(spec.model_dump()))
