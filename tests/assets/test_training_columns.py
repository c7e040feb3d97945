"""What a training set's columns are made of, for models that say much about their rows and for those that say nothing."""

import polars as pl

from mlops_assets.spec.prediction import computed_from
from mlops_assets.stages.training_columns import training_columns
from tests.pumps.project import SPEC

GIVEN = ["check_id", "pump", "checked_at", "stopped_minutes", "known_at"]
REPOSITORY = "tests.pumps.repo"


def test_without_a_function_for_rows_keys_and_time_are_those_of_the_prediction_table():
    columns = training_columns(SPEC, REPOSITORY, None, GIVEN)
    assert columns["vibration"].made_of == (
        ("pumps/features/pump_state", "vibration"),
        ("pumps/features/pump_state", "pump"),
        ("pumps/features/pump_state", "event_timestamp"),
        ("pumps/checks", "pump"),
        ("pumps/checks", "checked_at"),
    )
    assert columns["stopped_minutes"].made_of == (("pumps/checks", "stopped_minutes"),)
    assert columns["stopped_minutes"].description.endswith("Positive above 0.")


def test_what_a_function_for_rows_adds_has_the_lineage_that_it_declares():
    @computed_from(pump="check_id")
    def rows(checks: pl.DataFrame) -> pl.DataFrame:
        return checks.with_columns(pump=pl.col("check_id").str.split("@").list.first())

    made_of = training_columns(SPEC, REPOSITORY, rows, GIVEN)["vibration"].made_of
    assert made_of[-2:] == (("pumps/checks", "check_id"), ("pumps/checks", "checked_at"))
    assert rows(pl.DataFrame({"check_id": ["a@1"]}))["pump"].to_list() == ["a"]


def test_a_column_of_which_nobody_says_where_it_comes_from_has_no_invented_source():
    without = [name for name in GIVEN if name != "pump"]
    made_of = training_columns(SPEC, REPOSITORY, lambda checks: checks, without)["vibration"].made_of
    assert ("pumps/checks", "pump") not in made_of
    assert ("pumps/features/pump_state", "pump") in made_of
