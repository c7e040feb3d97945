"""The year in steps beside the year at once: which weeks differ, and that the plan is one that the model takes."""

import polars as pl
import pytest
import yaml

from benchmarks.rollout_year import FILE, WITH, WITHOUT, figures_of, table_of, with_plan
from mlops_assets.ml.rollout.steps import steps_of
from mlops_assets.spec.rollout import RolloutPlan, rollout_fits
from resources.settings import PROJECT_ROOT


def test_the_plan_is_one_that_the_model_takes_and_is_added_once():
    content = with_plan((PROJECT_ROOT / FILE).read_text())
    plan = RolloutPlan.model_validate(yaml.safe_load(content)["attributes"]["rollout"])
    assert rollout_fits(plan, "classification") is None
    assert [step.name for step in steps_of(plan)] == ["shadow", "full"]
    with pytest.raises(SystemExit, match="has a plan already"):
        with_plan(content)


def weeks(versions: list[int | None], losses: list[float | None], decisions: list[str]) -> pl.DataFrame:
    names = [f"2013-04-{day:02d}" for day in range(1, 1 + len(versions))]
    return pl.DataFrame(
        {
            "partition": names,
            "labelled": [100, 100, 300],
            "log_loss": losses,
            "version": versions,
            "decision": decisions,
        }
    )


def test_a_week_that_differs_has_a_line_a_side_and_the_others_none():
    at_once = weeks([None, 2, 5], [None, 0.5, 0.4], ["kept", "retrained, promoted as version 5", "kept"])
    in_steps = weeks([None, 2, 2], [None, 0.5, 0.44], ["kept", "rolled out as version 5", "advanced"])
    told = table_of({WITHOUT: at_once, WITH: in_steps})
    assert "2013-04-01" not in told and told.count("2013-04-02") == told.count("2013-04-03") == 2
    assert "2013-04-03  in steps  2        0.4400    advanced" in told
    assert figures_of(at_once)["log loss"] == 0.425 and figures_of(in_steps)["log loss"] == 0.455
    assert (figures_of(at_once)["changes of champion"], figures_of(in_steps)["changes of champion"]) == (1, 0)
    assert "no week differs" in table_of({WITHOUT: at_once, WITH: at_once})
