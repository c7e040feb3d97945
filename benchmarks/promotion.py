"""How often the gate errs: equal models, models worse by the margin, planted gains, slices; and what each rule costs.

`python -m benchmarks.promotion` simulates. With `--policies` it lives through the recorded year under one rule after
the other, from the state that `make run` left, with the product's own back-test.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.report import save
from benchmarks.simulated import SHAPES, Arrays, false_promotions, lead_error, leading, two_models
from mlops_assets.ml.paired import Effect, compare, holm, shows
from mlops_assets.spec_gate import METRICS

ALPHA, POWER, DAYS, SLICES = 0.05, 0.8, 14, 30
UNGUARDED = {"slice_tolerance": None, "calibration_tolerance": None}
RULES: dict[str, dict[str, Any]] = {
    "always": {"evidence": "point", "tolerance": 1e9, "guards": UNGUARDED},
    "point": {"evidence": "point", "tolerance": 0.0, "guards": UNGUARDED},
    "superiority": {"evidence": "superiority", "tolerance": 0.0},
    **{
        f"non-inferiority by {margin:g}": {"evidence": "non_inferiority", "tolerance": margin}
        for margin in (0.002, 0.003, 0.005, 0.0075, 0.01)
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000, help="comparisons for each figure")
    parser.add_argument("--policies", action="store_true", help="the rules on the recorded year, ten minutes")
    options = parser.parse_args()
    if options.policies:
        policies()
        return
    figures = {"trials": options.trials, "alpha": ALPHA, "days": DAYS, **simulated(options.trials)}
    for name, table in figures.items():
        print(name if isinstance(table, dict) else f"{name}: {table}")
        for key, value in table.items() if isinstance(table, dict) else ():
            print(f"  {key:<34}{value if isinstance(value, str) else f'{value:.3f}'}")
    ratios = {
        "false_promotion_rate": figures["equal models shown to be better, by metric"]["log_loss"],
        "false_promotion_rate_by_row": figures["the same if rows were counted"]["log_loss"],
        "false_promotion_rate_at_tolerance": figures["worse by the tolerance"]["promoted"],
        "power": figures["planted gain, in detectable gains"]["1.0"],
        "false_alarm_rate_of_slices": figures["slices of equal models"]["corrected"],
        "false_alarm_rate_of_slices_uncorrected": figures["slices of equal models"]["uncorrected"],
    }
    print(save("promotion", figures, ratios))


def simulated(trials: int) -> dict[str, Any]:
    """Every figure of the simulations, as rates."""
    metrics = [metric for names in METRICS.values() for metric in names]
    means = [metric for metric in metrics if metric not in ("auc", "calibration_error")]
    return {
        "equal models shown to be better, by metric": {m: _equal(m, trials) for m in metrics},
        "the same if rows were counted": {m: _equal(m, trials, by_row=True) for m in means},
        "equal models, log_loss, by days and how unlike they are": {
            f"{days} days, sizes {name}": _equal("log_loss", trials, days=days, unlike=unlike)
            for days in (5, 7, 14, 28)
            for name, unlike in (("equal", 0.0), ("lognormal 0.5", 0.5), ("lognormal 1", 1.0))
        },
        "equal in the long run, by what days are like": {
            shape: _rate(trials, lambda dice, s=shape: compare(*leading(dice, 0.0, shape=s), "mae"))
            for shape in SHAPES
        },
        "planted gain, in detectable gains": {
            str(share): _rate(trials, lambda dice, s=share: compare(*leading(dice, s * _detectable()), "mae"))
            for share in (0.5, 1.0, 1.5)
        },
        "worse by the tolerance": {
            "promoted": _rate(trials, lambda dice: compare(*leading(dice, -0.2), "mae"), limit=-0.2)
        },
        "slices of equal models": dict(zip(("uncorrected", "corrected"), _slices(trials), strict=True)),
    }


def _equal(metric: str, trials: int, **more: Any) -> float:
    return false_promotions(metric, trials, ALPHA, **{"days": DAYS, "rows": 200, **more}) / trials


def _rate(trials: int, draw: Callable[[np.random.Generator], Effect], limit: float = 0.0) -> float:
    """Five times the trials, because these comparisons cost little."""
    dice, tried = np.random.default_rng(7), 5 * trials
    return sum(shows(draw(dice).p_above(limit), ALPHA) for _ in range(tried)) / tried


def _detectable() -> float:
    found = Effect("mae", 0, 0, 0, lead_error(DAYS), DAYS - 1, DAYS, 1).detectable(ALPHA, POWER)
    assert found is not None
    return found


def _slices(trials: int) -> tuple[float, float]:
    """How often any of the slices of two equal models is said to be worse, without and with the correction."""
    dice, alarms = np.random.default_rng(5), np.zeros(2)
    for _ in range(trials):
        values = two_models(dice, rows=300, luck=0.2)
        part = dice.integers(0, SLICES, len(values[0]))
        effects = [_compared(values, part == code) for code in range(SLICES)]
        raw = [p for effect in effects if (p := effect.p_below(0)) is not None]
        alarms += min(raw) <= ALPHA, min(holm(raw)) <= ALPHA
    without, corrected = alarms / trials
    return float(without), float(corrected)


def _compared(values: Arrays, here: np.ndarray) -> Effect:
    y, ours, theirs, day = (value[here] for value in values)
    return compare(y, ours, theirs, day, "log_loss")


def policies() -> None:
    """The table of rules on the year, and its JSON."""
    rows = list(_lived_through())
    for row in rows:
        print("  ".join(f"{v:.4f}" if isinstance(v, float) else f"{v!s:<24}" for v in row.values()))
    by_rule = {row["rule"]: row for row in rows}
    loss = "log loss July to December"
    ratios = {
        f"{rule.replace(' ', '_')}_vs_point": round(by_rule[rule][loss] / by_rule["point"][loss], 4)
        for rule in RULES
    }
    print(save("promotion_policies", {"rules": rows}, ratios))


def _lived_through() -> Iterator[dict[str, Any]]:
    from mlops_assets.comparison import history_of, policy_row, trainer
    from mlops_assets.ml.backtest import backtest
    from mlops_assets.project import Project
    from mlops_assets.spec import Gate
    from resources.settings import settings

    project = Project.open(settings())
    spec = project.specs["flight_delay"]
    history, train = history_of(spec, project.lake), trainer(project, spec)
    weeks = [week.name for week in history]
    for rule, changes in RULES.items():
        gate = Gate.model_validate(spec.gate.model_dump() | {"guards": {}} | changes)
        result = backtest(spec.model_copy(update={"gate": gate}), spec.retrain, history, train)
        row = policy_row(spec, project.lake, rule, result, weeks)
        yield {"rule": row.pop("policy"), "promotions": len(result.promoted), **row}


if __name__ == "__main__":
    main()
