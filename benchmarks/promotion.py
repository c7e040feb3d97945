"""How often the gate errs: equal models, models worse by the margin, planted gains, slices; and what each rule costs.

`python -m benchmarks.promotion` simulates. With `--policies` it lives through the recorded year under one rule after
the other, from the state that `make run` left, with the product's own back-test.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.report import save
from benchmarks.simulated import SHAPES, Arrays, false_promotions, lead_error, leading, lived, two_models
from mlops_assets.ml.judging.paired import Effect, compare, holm, shows
from mlops_assets.spec.gate import METRICS, Gate

ALPHA, POWER, DAYS, SLICES = 0.05, 0.8, 14, 30
MARGIN, WORSE, ERRORS = 0.005, 0.0025, (0.002, 0.0028)
"""The flights' tolerance; half of it; and standard errors of a fortnight's comparison on the year, a small one and a common one."""
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
    figures: dict[str, Any] = {"trials": options.trials, "alpha": ALPHA, "days": DAYS}
    figures |= simulated(options.trials)
    for name, table in figures.items():
        print(name if isinstance(table, dict) else f"{name}: {table}")
        for key, value in table.items() if isinstance(table, dict) else ():
            print(f"  {key:<54}{value if isinstance(value, str) else f'{value:.4f}'}")
    ratios = {
        "false_promotion_rate": figures["equal models shown to be better, by metric"]["log_loss"],
        "false_promotion_rate_by_row": figures["the same if rows were counted"]["log_loss"],
        "false_promotion_rate_at_tolerance": figures["worse by the tolerance"]["promoted"],
        "power": figures["planted gain, in detectable gains"]["1.0"],
        "false_alarm_rate_of_slices": figures["slices of equal models"]["corrected"],
        "false_alarm_rate_of_slices_uncorrected": figures["slices of equal models"]["uncorrected"],
        **ratchet_ratios(figures),
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
        **ratchet(trials),
    }


def ratchet(trials: int) -> dict[str, dict[str, float]]:
    """What a year of thirteen challengers loses, and how many are promoted, before there was an anchor and with it."""
    lost, late, promoted, equal = {}, {}, {}, {}
    for evidence in ("non_inferiority", "point"):
        for error in ERRORS:
            for anchored in (False, True):
                row = f"{evidence}, error {error:g}, {'with' if anchored else 'without'} the anchor"
                years = _years(evidence, WORSE, error, anchored, trials)
                lost[row], late[row] = years[:, 0].mean(), np.quantile(years[:, 0], 0.95)
                promoted[row] = years[:, 1].mean() / 13
                equal[row] = _years(evidence, 0.0, error, anchored, trials)[:, 1].mean() / 13
    tables = {"mean loss": lost, "loss of one year in twenty": late, "share promoted": promoted}
    told = {f"13 challengers, each worse by {WORSE:g}: {name}": table for name, table in tables.items()}
    return {name: _rounded(table) for name, table in told.items()} | {
        "13 challengers, each equal: share promoted": _rounded(equal)
    }


def ratchet_ratios(figures: dict[str, Any]) -> dict[str, float]:
    """The figures at the small error as flat ratios."""
    rule = f"non_inferiority, error {ERRORS[0]:g}"
    lost = figures[f"13 challengers, each worse by {WORSE:g}: mean loss"]
    equal = figures["13 challengers, each equal: share promoted"]
    return {
        "loss_of_a_year_in_margins_without_anchor": round(lost[f"{rule}, without the anchor"] / MARGIN, 3),
        "loss_of_a_year_in_margins": round(lost[f"{rule}, with the anchor"] / MARGIN, 3),
        "equal_promoted_without_anchor": equal[f"{rule}, without the anchor"],
        "equal_promoted": equal[f"{rule}, with the anchor"],
    }


def _years(evidence: str, worse: float, error: float, anchored: bool, trials: int) -> np.ndarray:
    """Loss and promotions of so many years [trials, 2]."""
    gate = Gate.model_validate(
        {"metric": "mae", "floors": {"mae": 1e6}, "evidence": evidence, "tolerance": MARGIN}
    )
    dice = np.random.default_rng(13)
    return np.array([lived(dice, gate, worse, error, anchored) for _ in range(trials)])


def _rounded(table: dict[str, Any]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in table.items()}


def _equal(metric: str, trials: int, **more: Any) -> float:
    size: dict[str, Any] = {"days": DAYS, "rows": 200}
    return false_promotions(metric, trials, ALPHA, **(size | more)) / trials


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
    from mlops_assets.ml.monitoring.backtest import backtest
    from mlops_assets.project import Project
    from mlops_assets.replay.clock import Progress
    from mlops_assets.replay.fits import Fits
    from mlops_assets.replay.policies import expected_trainings, history_of, inside, policy_row
    from mlops_assets.spec.model import Gate
    from resources.settings import settings

    project = Project.open(settings())
    spec = project.specs["flight_delay"]
    history = history_of(spec, project.lake)
    weeks = [week.name for week in history]
    spans = inside(project.use_case(spec.use_case).replay.periods, weeks)
    train = Fits(project, spec, Progress(len(weeks)), expected_trainings(spec, weeks))
    for rule, changes in RULES.items():
        gate = Gate.model_validate(spec.gate.model_dump() | {"guards": {}} | changes)
        result = backtest(spec.model_copy(update={"gate": gate}), spec.retrain, history, train)
        row = policy_row(spec, project.lake, rule, result, spans)
        yield {"rule": row.pop("policy"), "promotions": len(result.promoted), **row}


if __name__ == "__main__":
    main()
