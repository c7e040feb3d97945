"""Prometheus is told what is defined and nothing else, under units that names say, whatever cannot be read beside it."""

from dataclasses import fields, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.stages.exposition import Exposition, View, metrics_of
from resources.records.standing import Standing
from resources.settings import PROJECT_ROOT

NUMBER = st.none() | st.floats(-1e6, 1e6)
NOTHING: dict[str, Any] = {one.name: None for one in fields(Standing)}
EMPTY = Standing(
    **NOTHING
    | {"model": "pumps", "cost_unit": "CPU-hours", "waits": (), "alerts": (), "links": {}, "needs_hands": ()}
)


def samples(view: View) -> dict[tuple[str, str], float]:
    """By name and model what is told."""
    return {
        (sample.name, sample.labels.get("model", "")): sample.value
        for family in metrics_of(view)
        for sample in family.samples
    }


OF_FIELDS = {
    "mlops_freshness_seconds": ("freshness_hours", 3600),
    "mlops_champion_age_seconds": ("champion_age_days", 86400),
    "mlops_label_coverage_ratio": ("coverage", 1),
    "mlops_drift_psi": ("drift", 1),
    "mlops_drift_limit_psi": ("drift_limit", 1),
    "mlops_rollout_share_ratio": ("rollout_share", 1),
    "mlops_performance": ("quality", 1),
    "mlops_performance_low": ("quality_low", 1),
    "mlops_performance_high": ("quality_high", 1),
    "mlops_performance_floor": ("floor", 1),
    "mlops_cost_month_cpu_hours": ("cost_month", 1),
}


@settings(max_examples=40)
@given(st.fixed_dictionaries({field: NUMBER for field, _ in OF_FIELDS.values()}))
def test_a_number_is_told_in_the_unit_of_its_name_and_one_that_is_not_defined_is_absent(numbers):
    one = replace(EMPTY, metric="auc", **numbers)
    told = samples(View((one,)))
    for name, (field, factor) in OF_FIELDS.items():
        value = numbers[field]
        assert told.get((name, "pumps")) == (None if value is None else value * factor)
    both = numbers["quality"] is not None and numbers["floor"] is not None
    assert (("mlops_performance_margin", "pumps") in told) is both


def test_the_margin_is_below_zero_where_the_metric_is_worse_whichever_way_it_counts():
    worse = [
        replace(EMPTY, metric=m, quality=q, floor=f)
        for m, q, f in (("auc", 0.6, 0.7), ("log_loss", 0.7, 0.6))
    ]
    for one in worse:
        assert samples(View((one,)))["mlops_performance_margin", "pumps"] < 0


def test_a_model_that_cannot_be_read_says_so_and_takes_no_other_with_it():
    told = samples(View((EMPTY,), unreadable=("valves",)))
    assert told["mlops_model_readable", "pumps"] == 1 and told["mlops_model_readable", "valves"] == 0
    assert not [name for name, model in told if model == "valves" and name != "mlops_model_readable"]


def test_an_answer_is_given_again_until_its_time_is_over():
    looks: list[View] = []

    def look() -> View:
        looks.append(View((EMPTY,)))
        return looks[-1]

    kept, fresh = Exposition(look, 3600), Exposition(look, 0)
    assert {id(kept.view()) for _ in range(5)} == {id(looks[0])}
    assert fresh.view() is not fresh.view()


def test_every_family_is_documented():
    page = (PROJECT_ROOT / "docs" / "metrics.md").read_text()
    assert [family.name for family in metrics_of(View((EMPTY,))) if f"`{family.name}`" not in page] == []
