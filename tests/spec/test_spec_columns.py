"""Names that meet are refused with both of them, and the line of the spec; all others are accepted."""

from dataclasses import dataclass, field

import pydantic
import pytest

from mlops_assets.components.model import DeclaredModel
from mlops_assets.spec.columns import input_clashes, label_among_inputs
from mlops_assets.spec.model import ModelSpec
from resources.features.inputs import inputs_by_feast, inputs_without_feast
from resources.settings import settings
from tests.pumps.project import SPEC

KEY, TIME = ["check_id"], "checked_at"


@dataclass(frozen=True)
class Names:
    """The names of a service that never was."""

    features: dict = field(default_factory=lambda: {"state": ["vibration"], "sums": ["total"]})
    behind: dict = field(default_factory=lambda: {"state": ["rpm"]})
    keys: list = field(default_factory=lambda: ["pump"])
    requests: list = field(default_factory=lambda: ["load"])
    columns: dict = field(default_factory=dict)
    stored: list = field(default_factory=lambda: ["state"])


def spec(**parts) -> ModelSpec:
    content = SPEC.model_dump()
    for name, value in parts.items():
        content[name] = content[name] | value if isinstance(value, dict) else value
    return ModelSpec.model_validate(content)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"prediction": {"key": ["_row"]}}, "prediction.key '_row' begins with '_', as the platform's own"),
        ({"prediction": {"time": "__asked_at"}}, "prediction.time '__asked_at' begins with '_'"),
        ({"prediction": {"key": ["a", "a"]}}, "prediction.key names 'a' twice"),
        (
            {"prediction": {"key": ["score"]}},
            "prediction.key 'score' is the name of the platform's own column",
        ),
        ({"prediction": {"time": "model_version"}}, "prediction.time 'model_version' is the name of the"),
        ({"label": {"column": "_label"}}, "label.column '_label' begins with '_'"),
        ({"label": {"column": "check_id"}}, "label.column and prediction.key are both 'check_id'"),
        ({"label": {"known_at": "checked_at"}}, "label.known_at and prediction.time are both 'checked_at'"),
        ({"label": {"known_at": "stopped_minutes"}}, "label.column and label.known_at are both 'stopped"),
        ({"trainer": {"categories": ["stopped_minutes"]}}, "has 'stopped_minutes', which is label.column"),
        ({"trainer": {"categories": ["known_at"]}}, "has 'known_at', which is label.known_at"),
        ({"trainer": {"categories": ["pump", "pump"]}}, "trainer.categories names 'pump' twice"),
        ({"gate": {"cluster": "_cluster"}}, "gate.cluster '_cluster' begins with '_'"),
        ({"slices": ["_slice"]}, "slices '_slice' begins with '_'"),
        ({"slices": ["pump", "pump"]}, "slices names 'pump' twice"),
        ({"slices": ["^.*$"]}, "slices '^.*$' is a pattern that stands for several columns"),
        ({"drift": {"columns": ["_score"]}}, "drift.columns '_score' begins with '_'"),
    ],
)
def test_a_spec_whose_columns_meet_is_refused_with_both_names(parts, message):
    with pytest.raises(pydantic.ValidationError) as caught:
        spec(**parts)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "parts",
    [
        {"prediction": {"key": ["pump", "checked_at"]}},
        {"label": {"column": "label"}, "slices": ["score", "count", "week", "label_"]},
        {"trainer": {"categories": ["check_id", "score"]}, "slices": ["score"], "gate": {"cluster": "score"}},
    ],
)
def test_names_that_only_look_like_the_platforms_are_accepted(parts):
    assert spec(**parts)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"features": {"state": ["_row"]}}, "feature '_row' of view 'state' begins with '_'"),
        ({"behind": {"state": ["__x"]}}, "feature '__x' of view 'state' begins with '_'"),
        ({"keys": ["_id"]}, "join key '_id' begins with '_'"),
        ({"requests": ["_load"]}, "request column '_load' begins with '_'"),
        (
            {"features": {"state": ["event_timestamp"]}},
            "feature 'event_timestamp' of view 'state' is the name of",
        ),
        (
            {"features": {"state": ["created"]}},
            "feature 'created' of view 'state' is the name of the platform's",
        ),
        ({"keys": ["created"]}, "join key 'created' is the name of the platform's own column"),
        ({"requests": ["event_timestamp"]}, "request column 'event_timestamp' is the name of the platform's"),
        (
            {"features": {"state": ["pump"]}},
            "feature 'pump' of view 'state' has the name of the join key 'pump'",
        ),
        ({"features": {"sums": ["load"]}}, "has the name of the request column 'load'"),
        (
            {"behind": {"state": ["load"]}},
            "feature 'load' of view 'state' has the name of the request column",
        ),
        (
            {"features": {"state": ["x"], "sums": ["x"]}},
            "feature 'x' comes from the views 'state' and 'sums'",
        ),
        ({"features": {"sums": ["rpm"]}}, "feature 'rpm' comes from the views 'sums' and 'state'"),
        ({"features": {"state": ["check_id"]}}, "has the name of prediction.key 'check_id'"),
        ({"features": {"sums": ["checked_at"]}}, "has the name of prediction.time 'checked_at'"),
        (
            {"features": {"state": ["x", "x__timestamp"]}},
            "feature 'x__timestamp' of view 'state' and feature 'x' of view 'state' would both be",
        ),
        (
            {"features": {"state": ["x"]}, "requests": ["state__x"]},
            "and input 'state__x' would both be 'state__x'",
        ),
    ],
)
def test_a_service_whose_names_meet_is_refused_with_both_names(names, message):
    found = list(input_clashes(Names(**names), KEY, TIME))
    assert any(message in problem for problem in found)


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"requests": ["checked_at", "created"]},
        {"keys": ["check_id"]},
        {"features": {"sums": ["created"]}},
    ],
)
def test_what_is_the_same_on_purpose_is_accepted(names):
    assert list(input_clashes(Names(**names), KEY, TIME)) == []


def test_the_moment_of_the_prediction_may_be_called_as_the_feature_store_calls_it():
    assert list(input_clashes(Names(requests=["event_timestamp"]), KEY, "event_timestamp")) == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"features": {"state": ["stopped"]}}, "feature 'stopped' of view 'state' is label.column 'stopped'"),
        ({"features": {"state": ["seen"]}}, "feature 'seen' of view 'state' is label.known_at 'seen'"),
        ({"behind": {"state": ["stopped"]}}, "feature 'stopped' of view 'state' is label.column"),
        ({"keys": ["stopped"]}, "join key 'stopped' is label.column"),
        ({"requests": ["seen"]}, "request column 'seen' is label.known_at"),
        (
            {"features": {"state": ["minutes"]}, "columns": {"state": {"minutes": "stopped"}}},
            "feature 'minutes' of view 'state' (column 'stopped') is label.column 'stopped'",
        ),
    ],
)
def test_a_label_among_the_inputs_is_refused_by_name(names, message):
    assert any(
        message in problem
        for problem in label_among_inputs(
            Names(**names), [("label.column", "stopped"), ("label.known_at", "seen")]
        )
    )


REPO = """from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, String

pump = Entity(name="pump", join_keys=["pump"], value_type=ValueType.STRING)
state = FeatureView(
    name="state",
    entities=[pump],
    ttl=timedelta(hours=12),
    schema=[Field(name="pump", dtype=String), Field(name="NAME", dtype=Float32)],
    source=FileSource(name="state", path="features/state/*.parquet", timestamp_field="event_timestamp", MAPPING),
)
service = FeatureService(name="service_v1", features=[state])
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Makes a feature repository with one feature, and has the settings name it."""

    def make(feature: str, mapping: str = "") -> str:
        package = tmp_path / f"repo_{feature}"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "views.py").write_text(REPO.replace("NAME", feature).replace("MAPPING", mapping))
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("MLOPS_FEATURE_REPO", package.name)
        return package.name

    return make


def declared() -> DeclaredModel:
    return DeclaredModel.model_validate(
        SPEC.model_dump(exclude_unset=True) | {"feature_service": "service_v1"}
    )


@pytest.mark.parametrize(
    ("feature", "mapping", "where", "message"),
    [
        ("_row", "", "prediction", "feature '_row' of view 'state' begins with '_'"),
        ("checked_at", "", "prediction", "has the name of prediction.time 'checked_at'"),
        ("stopped_minutes", "", "label", "feature 'stopped_minutes' of view 'state' is label.column"),
        ("minutes", "field_mapping={'stopped_minutes': 'minutes'}", "label", "(column 'stopped_minutes')"),
    ],
)
def test_a_model_whose_features_meet_its_columns_is_refused_when_it_is_loaded(
    repository, feature, mapping, where, message
):
    name = repository(feature, mapping)
    with pytest.raises(pydantic.ValidationError) as caught:
        declared()
    assert [error["loc"][0] for error in caught.value.errors()] == [where]
    assert message in str(caught.value)
    assert inputs_without_feast("service_v1", name) == inputs_by_feast("service_v1", name)


def test_a_cluster_that_is_a_day_and_a_feature_is_refused_where_it_is_written(repository):
    repository("day")
    assert declared().gate.cluster == "day"
    gate = SPEC.gate.model_dump(exclude_unset=True) | {"cluster": "day"}
    with pytest.raises(pydantic.ValidationError, match="'day' is a column of the feature service too"):
        DeclaredModel.model_validate(
            SPEC.model_dump(exclude_unset=True) | {"feature_service": "service_v1", "gate": gate}
        )


def test_a_feature_called_score_is_loaded(repository):
    repository("score")
    assert settings().feature_repository == "repo_score"
    assert declared().feature_service == "service_v1"
