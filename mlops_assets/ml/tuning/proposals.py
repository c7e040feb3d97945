"""Which parameters to try next, by Optuna, and which of them mattered: pure functions of the trials that are done."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlops_assets.ml.judging.metrics import goodness
from mlops_assets.ml.tuning.trials import Trial
from mlops_assets.spec.search import Choices, Range, Search

Space = Mapping[str, Range | Choices]
FEWEST_FOR_IMPORTANCE = 10


def propose(search: Search, space: Space, metric: str, known: Sequence[Trial], number: int) -> dict[str, Any]:
    """Parameters of trial `number`, by Optuna's TPE (Bergstra and others 2011) from the trials that are done.

    A stopped trial counts as pruned at its last rung; a failed one is left out.
    """
    import optuna

    study = study_of(space, metric, known)
    drawn = np.random.SeedSequence([search.seed, number]).generate_state(1)[0]
    study.sampler = optuna.samplers.TPESampler(seed=int(drawn))
    proposal = study.ask({name: _distribution(dimension) for name, dimension in space.items()})
    return {name: _value(space[name], proposal.params[name]) for name in space}


def study_of(space: Space, metric: str, known: Sequence[Trial]) -> Any:
    """The trials as an Optuna study that maximises the metric's goodness; those outside of the space are left out."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    distributions = {name: _distribution(dimension) for name, dimension in space.items()}
    for trial in sorted(known, key=lambda t: t.number):
        inside = all(n in trial.parameters and d.holds(trial.parameters[n]) for n, d in space.items())
        if not inside or trial.score is None:
            continue
        stopped = trial.state == "stopped"
        good = float(goodness(metric, trial.score))
        past = optuna.trial.create_trial(
            state=optuna.trial.TrialState.PRUNED if stopped else optuna.trial.TrialState.COMPLETE,
            value=None if stopped else good,
            params={n: _coded(d, trial.parameters[n]) for n, d in space.items()},
            distributions=distributions,
            intermediate_values={trial.rounds: good} if stopped else None,
        )
        study.add_trial(past)
    return study


def importances(space: Space, metric: str, known: Sequence[Trial]) -> dict[str, float]:
    """Share of each parameter in what made trials good, by PED-ANOVA (Watanabe and others 2023); empty with fewer than ten."""
    from optuna.importance import get_param_importances

    study = study_of(space, metric, [t for t in known if t.state == "finished"])
    if len(study.trials) < FEWEST_FOR_IMPORTANCE or len({t.value for t in study.trials}) < 2:
        return {}
    return {name: float(share) for name, share in get_param_importances(study).items()}


def _distribution(dimension: Range | Choices) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choices):
        return CategoricalDistribution(range(len(dimension.choices)))
    if dimension.integer:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _coded(dimension: Range | Choices, value: Any) -> Any:
    """What Optuna is told of a value: a choice by its place, because it need not be a plain value."""
    return dimension.choices.index(value) if isinstance(dimension, Choices) else value


def _value(dimension: Range | Choices, coded: Any) -> Any:
    return dimension.choices[coded] if isinstance(dimension, Choices) else coded
