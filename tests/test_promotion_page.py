"""docs/promotion.md tells what the benchmarks found: every rate and every rule of its tables is in their results."""

import json
import re

import yaml

from mlops_assets.spec.gate import Gate, Guards
from resources.settings import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "promotion.md").read_text()
RESULTS = PROJECT_ROOT / "benchmarks" / "results"
FIGURES = json.loads((RESULTS / "promotion.json").read_text())["figures"]
RULES = json.loads((RESULTS / "promotion_policies.json").read_text())["figures"]["rules"]


def told(table: dict[str, float]) -> list[str]:
    return [f"| {key} | {value:.3f} |" for key, value in table.items()]


def test_every_rate_of_the_simulations_is_told_as_it_was_found():
    tables = [name for name, table in FIGURES.items() if isinstance(table, dict)]
    shown = [name for name in tables if name.startswith(("equal", "the same"))]
    assert len(shown) == 4
    assert [line for name in shown for line in told(FIGURES[name]) if line not in PAGE] == []
    for value in (
        *FIGURES["planted gain, in detectable gains"].values(),
        *FIGURES["worse by the tolerance"].values(),
        *FIGURES["slices of equal models"].values(),
    ):
        assert f"{value:.3f}" in PAGE


def test_a_year_with_and_without_the_anchor_is_told_as_it_was_simulated():
    worse = "13 challengers, each worse by 0.0025"
    lost, late, promoted = (
        FIGURES[f"{worse}: {name}"] for name in ("mean loss", "loss of one year in twenty", "share promoted")
    )
    equal = FIGURES["13 challengers, each equal: share promoted"]
    for row in lost:
        told = f"{lost[row]:.4f} | {late[row]:.4f} | {promoted[row]:.3f} | {equal[row]:.3f}"
        assert f"| {row} | {told} |" in PAGE
    shown = [row for row in lost if row.startswith("non_inferiority") and "with the anchor" in row]
    assert len(shown) == 2
    assert (
        max(max(lost[row], late[row]) for row in shown) <= 0.005 < lost[shown[0].replace("with", "without")]
    )


def test_the_page_says_how_promoting_always_did():
    always, *gated = RULES
    assert (always["rule"], always["promotions"]) == ("always", always["trainings"])
    first, second = (f"log loss {period}" for period in ("March to June", "July to December"))
    assert min(rule[first] for rule in gated) >= always[first]
    ahead = {rule["rule"]: always[second] - rule[second] for rule in gated if rule[second] < always[second]}
    assert ahead.keys() == {"non-inferiority by 0.0075", "non-inferiority by 0.01"}
    assert max(ahead.values()) < 0.00025
    assert "only the two widest margins are ahead, by 0.0002" in " ".join(PAGE.split())
    assert "promoting every challenger was level with or better than every gated rule" in PAGE


def test_every_rule_is_told_with_what_it_cost():
    for row in RULES:
        losses = [row[f"log loss {period}"] for period in ("March to June", "July to December")]
        told = [
            row["rule"],
            str(row["trainings"]),
            str(row["promotions"]),
            *(f"{loss:.4f}" for loss in losses),
        ]
        assert f"| {' | '.join(told)} |" in PAGE


def test_the_shown_rule_is_the_one_of_the_flights_and_every_field_is_explained():
    shown = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])["gate"]
    shipped = yaml.safe_load(
        (PROJECT_ROOT / "mlops_assets/use_cases/flights/models/flight_delay/defs.yaml").read_text()
    )
    assert Gate.model_validate(shown) == Gate.model_validate(shipped["attributes"]["gate"])
    explained = set(re.findall(r"`([a-z_.]+)`", "\n".join(re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE))))
    fields = {*Gate.model_fields} - {"guards"} | {f"guards.{name}" for name in Guards.model_fields}
    assert explained == fields


def test_the_errors_stay_where_the_page_says():
    equal = FIGURES["equal models shown to be better, by metric"]
    assert max(equal.values()) < 1.5 * FIGURES["alpha"]
    assert min(FIGURES["the same if rows were counted"].values()) > 4 * FIGURES["alpha"]
