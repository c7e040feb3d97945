"""A folder with one YAML file is a model; a mistake in it is told with file and line before anything runs."""

import importlib

import dagster as dg
import pydantic
import pytest
import yaml
from dagster.components.core.component_tree import ComponentTreeException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.components.use_case import UseCaseError
from tests.models_folder import FLIGHT_DELAY, models_folder, project, specs

pytestmark = [
    pytest.mark.filterwarnings("ignore::dagster.PreviewWarning"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
CALENDAR = "calendar: {cadence: weekly, start: 2012-12-31, end: 2014-01-06, timezone: America/New_York}"
YAML = FLIGHT_DELAY.read_text().replace("  trainer:", f"  {CALENDAR}\n  trainer:")


def line_of(text: str, start: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), start=1) if line.strip().startswith(start))


def complaint(root, text: str) -> str:
    """What is said of a models folder that holds this YAML as its third model."""
    with pytest.raises(UseCaseError) as caught:
        models_folder(root, long_delay=text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ("hold_out_days", "holdout_days", "window:", "attributes.window.holdout_days"),
        ("owner:", "ownr:", "ownr:", "attributes.ownr"),
        ("flight_delay_v1", "flight_dealy_v1", "feature_service:", "'flight_dealy_v1' is not defined"),
        ("minimum_days: 56", "minimum_days: 14", "window:", "leaves nothing to train on"),
        ("minimum_days: 56", "minimum_days: 400", "window:", "longer than the 371 days of the calendar"),
        ("cool_down_days: 14", "cool_down_days: 7", "retrain:", "judged on rows it was trained on"),
        ("metric: log_loss", "metric: mae", "gate:", "choose from auc, log_loss"),
        ("end: 2014-01-06", "end: 2014-01-05", "calendar:", "370 days: give a whole number of weeks"),
        ("above: 15, ", "delay: 30d, ", "label:", "say twice when the label is known: keep known_at"),
        ("above: 15, ", "horizon: 30, ", "label:", "30 is not a duration: write a number with its unit"),
        ("above: 15, ", "horizon: 330d, ", "window:", "labels take are longer than the 371 days"),
        ("task: classification", "task: clasification", "task:", "'classification' or 'regression'"),
        ("name: flight_delay", "name: Flight Delay", "name:", "String should match pattern"),
        ("automation: on", "automation: maybe", "automation:", "'on' or 'paused'"),
        ("above: 15", "above: .nan", "label:", "attributes.label.above"),
        ("metric_worse_by: 0.15", "metric_worse_by: .inf", "retrain:", "Input should be a finite number"),
        ("eta: ", "eta: nan, _: ", "parameters:", "eta is 'nan', which is no finite number"),
        ("window: {", "window: {days: 10, ", "window:", "window.days=10 leaves nothing to train on"),
        (
            "America/New_York",
            "America/NewYork",
            "calendar:",
            "'America/NewYork' does not exist: give a name of",
        ),
        ("America/New_York", "localtime", "calendar:", "calendar.timezone"),
        ("America/New_York", "America", "calendar:", "calendar.timezone"),
        ("America/New_York", "../zone", "calendar:", "calendar.timezone"),
        (
            "start: 2012-12-31",
            "start: 20121231",
            "calendar:",
            "20121231 is not a day: write year, month and day",
        ),
        ("start: 2012-12-31", "start: 31/12/2012", "calendar:", "'31/12/2012' is not a day"),
        ("start: 2012-12-31", "start: 1356912000", "calendar:", "calendar.start"),
        ("start: 2012-12-31", "start: '1356912000'", "calendar:", "calendar.start"),
        ("start: 2012-12-31", "start: 2012-12-31 00:00:00", "calendar:", "calendar.start"),
        ("start: 2012-12-31", "start: 2012-13-31", "calendar:", "calendar.start"),
        ("start: 2012-12-31", "start: 0001-01-01", "calendar:", "0001-01-01 is out of range"),
        ("rounds: 300", "rounds: many", "rounds:", "trainer.rounds"),
        ("rounds: 300", "rounds: true", "rounds:", "true is not a number"),
        ("max_age_days: 28", "max_age_days: 1e300", "retrain:", "retrain.max_age_days"),
        ("max_age_days: 28", "max_age_days: 40000", "retrain:", "less than or equal to 36500"),
        ("{auc: 0.65}", "{auc: true}", "gate:", "true is not a number"),
        ("kind: xgboost", "kind: [xgboost]", "trainer:", "kind ['xgboost'] does not exist"),
        ("team:flights", "flights", "owner:", "owner 'flights' is nobody"),
        ("flights/raw", "flights/", "table:", "prediction.table"),
        ("slices: [origin", "slices: [no", "slices:", "slices.0: no is false in YAML 1.1"),
        ("max_depth: 7", "max_depth: 0_7", "parameters:", "parameters.max_depth: 0_7 is 7 in YAML 1.1"),
        ("ModelComponent", "ModelComponet", "type:", "ModelComponet' is no component: name its class"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_rule(tmp_path, old, new, at, message):
    text = YAML.replace(old, new)
    assert text != YAML
    said = complaint(tmp_path, text)
    assert message in said
    assert f"long_delay/defs.yaml:{line_of(text, at)}" in said


@pytest.mark.parametrize("value", ["{auc: 0.5}", "7", "[a]"])
def test_a_second_gate_is_refused_with_both_lines_whatever_it_says(tmp_path, value):
    text = YAML.replace("  slices:", f"  gate: {value}\n  slices:")
    first, second = line_of(text, "gate: {metric"), line_of(text, f"gate: {value}")
    said = complaint(tmp_path, text)
    assert f"long_delay/defs.yaml:{second}: attributes.gate is given twice, first in line {first}" in said


def test_a_tree_that_is_built_by_dagster_alone_refuses_a_second_key_too(tmp_path):
    (tmp_path / "only_one" / "long_delay").mkdir(parents=True)
    (tmp_path / "only_one" / "__init__.py").touch()
    text = YAML.replace("  rounds: 300", "  rounds: 300\n    rounds: 301")
    (tmp_path / "only_one" / "long_delay" / "defs.yaml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        tree = dg.ComponentTree.from_module(
            defs_module=importlib.import_module("only_one"), project_root=tmp_path
        )
        with pytest.raises(ComponentTreeException) as caught:
            tree.build_defs()
    assert "attributes.trainer.rounds is given twice, first in line" in str(caught.value.__cause__)


PLAIN = [node for node in yaml.scan(YAML) if isinstance(node, yaml.ScalarToken)]
"""Every key and every value of the shipped model."""

ODD = (
    "America/NewYork",
    "true",
    "-1",
    "1.5",
    "9" * 20,
    "[a]",
    "{a: 1}",
    "'1e400'",
    "~",
    "''",
    "20121231",
    "no",
    "12:30",
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(token=st.sampled_from(PLAIN), odd=st.sampled_from(ODD))
def test_any_key_or_value_that_cannot_be_is_told_with_file_and_line(tmp_path, token, odd):
    text = YAML[: token.start_mark.index] + odd + YAML[token.end_mark.index :]
    text = text.replace("name: flight_delay", "name: long_delay")
    try:
        models_folder(tmp_path, long_delay=text)
    except (UseCaseError, pydantic.ValidationError) as error:
        assert "long_delay/defs.yaml:" in str(error)


@pytest.mark.parametrize("written", ["1e-3", "1.0e-3", "0.001"])
def test_a_small_number_is_the_same_number_however_it_is_written(tmp_path, written):
    text = YAML.replace("name: flight_delay", "name: long_delay").replace("eta: 0.1", f"eta: {written}")
    assert specs(models_folder(tmp_path, long_delay=text))["long_delay"].trainer.parameters["eta"] == 0.001


def test_a_hold_out_longer_than_the_default_cool_down_is_told_too(tmp_path):
    text = YAML.replace("hold_out_days: 14", "hold_out_days: 21").replace(
        YAML[YAML.index("  retrain:") :], ""
    )
    assert "retrain" not in yaml.safe_load(text)["attributes"]
    said = complaint(tmp_path, text)
    assert "retrain.cool_down_days=14 is shorter than window.hold_out_days=21" in said
    assert "long_delay/defs.yaml:" in said


def test_an_unknown_feature_service_is_told_with_the_ones_there_are(tmp_path):
    said = complaint(tmp_path, YAML.replace("flight_delay_v1", "flight_dealy_v1"))
    assert "there are: flight_delay_v1" in said


def test_a_folder_with_one_yaml_adds_nine_assets_three_jobs_and_two_sensors(tmp_path):
    third = YAML.replace("name: flight_delay", "name: long_delay").replace("above: 15", "above: 60")
    before, after = project(models_folder(tmp_path)), project(models_folder(tmp_path, long_delay=third))
    assert keys(after) - keys(before) == {
        f"long_delay/{part}"
        for part in (
            *("training_set", "model", "evaluation", "deployment"),
            *("predictions", "performance", "drift", "skew", "card"),
        )
    }
    assert names(after.jobs) - names(before.jobs) == {
        "long_delay_partition",
        "long_delay_retrain",
        "long_delay_recalibrate",
    }
    assert names(after.sensors) - names(before.sensors) == {
        "score_long_delay_when_features_arrive",
        "retrain_long_delay_on_evidence",
    }
    assert keys(before) < keys(after)


def keys(defs: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in defs.resolve_all_asset_keys()}


def names(found) -> set[str]:
    return {each.name for each in found or ()}


def test_the_assets_of_a_model_form_one_group_and_belong_to_its_owner(tmp_path):
    third = YAML.replace("name: flight_delay", "name: long_delay").replace("team:flights", "team:ground")
    graph = project(models_folder(tmp_path, long_delay=third)).resolve_asset_graph()
    ours = [node for node in graph.asset_nodes if node.key.path[0] == "long_delay"]
    assert len(ours) == 9
    assert {node.group_name for node in ours} == {"long_delay"}
    assert {tuple(node.owners) for node in ours} == {("team:ground",)}


@pytest.mark.parametrize("written", ["on", "'on'", "paused"])
def test_automation_is_read_as_it_is_written(tmp_path, written):
    third = YAML.replace("name: flight_delay", "name: long_delay").replace(
        "automation: on", f"automation: {written}"
    )
    spec = specs(models_folder(tmp_path, long_delay=third))["long_delay"]
    assert spec.automation == written.strip("'")


def test_the_shipped_models_are_the_two_of_the_readme(tmp_path):
    found = specs(models_folder(tmp_path))
    assert {name: spec.task for name, spec in found.items()} == {
        "flight_delay": "classification",
        "arrival_minutes": "regression",
    }
