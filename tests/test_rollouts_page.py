"""The page of roll-outs names every field of the plan, and its figures are those that were measured."""

import json
import re

import yaml

from mlops_assets.spec.rollout import Limits, RolloutPlan
from resources.settings import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "rollouts.md").read_text()
FIGURES = json.loads((PROJECT_ROOT / "benchmarks" / "results" / "rollout.json").read_text())["figures"]


def test_the_plan_of_the_page_is_one_and_every_field_is_explained():
    block = next(text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
    RolloutPlan.model_validate(yaml.safe_load(block)["rollout"])
    named = {*re.findall(r"`([a-z_.]+)`", "\n".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)))}
    fields = {*RolloutPlan.model_fields} - {"limits"} | {f"limits.{name}" for name in Limits.model_fields}
    assert fields - named == set()


def test_the_rates_of_the_page_are_the_measured_ones_and_within_what_chance_allows():
    rates = FIGURES["false roll-backs"]
    shown = {
        name.replace("`", "").replace(" of flights", ""): rate
        for name, rate in re.findall(r"^\| (.*) \| (0\.\d{4}) \|$", PAGE, re.MULTILINE)
    }
    assert {name: float(rate) for name, rate in shown.items()} == {
        name: round(rate, 4) for name, rate in rates.items()
    }
    most = FIGURES["most that chance allows at it, 95%"]
    claimed = [name for name in rates if "days:" not in name]
    assert all(rates[name] <= most for name in claimed) and len(claimed) == 6


def test_the_delays_of_the_page_are_the_measured_ones():
    rows = re.findall(r"^\| (0\.\d{4}) \| (\d+)%, ([\d.]+) \| (\d+)%, ([\d.]+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 3
    for loss, *numbers in rows:
        table = next(table for name, table in FIGURES.items() if f"logit, {loss} of log loss" in name)
        power = [
            100 * table[f"{judge}: found in four weeks"] for judge in ("paired shadow", "split of a tenth")
        ]
        days = [
            table[f"{judge}: mean days, 28 where never"] for judge in ("paired shadow", "split of a tenth")
        ]
        assert [float(number) for number in numbers] == [
            round(power[0]),
            round(days[0], 1),
            round(power[1]),
            round(days[1], 1),
        ]
