"""Hyperparameter search: Ray Tune runs the trials, Optuna's TPE proposes them, ASHA stops the bad ones.

What is proposed next depends on the seed, the trial's number and the trials that are done, and on nothing that lives in
this process. So a search that was killed is given its finished trials and goes on as if it had not been: Tune's own
restore would lose what ASHA has seen, and Optuna's sampler the place in its stream of random numbers.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.judging.metrics import goodness
from mlops_assets.ml.training.checkpoints import for_ray
from mlops_assets.ml.training.distributed import LOST_WORKERS
from mlops_assets.ml.training.kinds import refuse_untrainable
from mlops_assets.ml.training.ladder import Reach, place, refuse_more_than_there_is
from mlops_assets.ml.training.shards import Files
from mlops_assets.ml.tuning.proposals import Space, propose
from mlops_assets.ml.tuning.trials import Trial, metric_of, run_trial
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.search import own_values, space_of

TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
    "RAY_AIR_NEW_OUTPUT": "0",
}
"""No files, tables or snapshots of Tune's own: what is done is kept by whoever called."""


def search_parameters(
    rows: Files,
    spec: ModelSpec,
    features: Sequence[str],
    reach: Reach,
    done: Sequence[Trial],
    heard: Callable[[Trial], None],
    name: str,
) -> list[Trial]:
    """Run the trials that are still due and return all of them, by number; `heard` is told of each as it ends.

    `rows` are those that a challenger may see: its trainer's newest `validation_share` of them scores the trials.
    Trial 0 is the spec as it stands. Raises DatasetError where that one fails, ComputeError where Ray has too little.
    """
    assert spec.search is not None
    refuse_untrainable(spec)
    plan = Plan(spec, space_of(spec.search, spec.trainer), list(done), heard)
    if not plan.over():
        _tune(plan, rows, features, reach, name)
    if plan.broken is not None:
        raise plan.broken
    return sorted(plan.done, key=lambda t: t.number)


class Plan:
    """Which trial comes next, until the budget is spent, and which are done."""

    def __init__(
        self,
        spec: ModelSpec,
        space: Space,
        done: list[Trial],
        heard: Callable[[Trial], None],
    ) -> None:
        assert spec.search is not None
        self.spec, self.search, self.space, self.done, self._heard = spec, spec.search, space, done, heard
        self.metric = metric_of(spec)
        self.running: dict[int, dict[str, Any]] = {}
        self.broken: Exception | None = None
        self._started = time.monotonic()
        self._before = max((t.ended for t in done), default=0.0)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes snapshots of its search algorithm, and nobody reads them."""
        return {}

    @property
    def seconds(self) -> float:
        """Spent on this search so far, in this process and in those that were killed."""
        return self._before + time.monotonic() - self._started

    def over(self) -> bool:
        """Whether no more trials are due; the first one always is, unless something broke."""
        if self.broken is not None:
            return True
        taken, search = len(self.done) + len(self.running), self.search
        enough = search.trials is not None and taken >= search.trials
        late = search.minutes is not None and self.seconds >= 60 * search.minutes
        return taken > 0 and (enough or late)

    def next(self) -> tuple[int, dict[str, Any]]:
        """Number and parameters of the next trial: the first that is neither done nor running."""
        taken = {t.number for t in self.done} | self.running.keys()
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        known = sorted(self.done, key=lambda t: t.number)
        first = own_values(self.spec.trainer, self.space)
        values = propose(self.search, self.space, self.metric, known, number) if number else first
        self.running[number] = values
        return number, values

    def end(self, number: int, **outcome: Any) -> None:
        """Keep a trial that is done; the spec's own must not fail, the others may.

        An error is kept for later: Tune would take it for the trial's, and run that again.
        """
        trial = Trial.from_record(
            {"number": number, "parameters": self.running.pop(number), "ended": self.seconds, **outcome}
        )
        try:
            self._keep(trial)
        except Exception as error:  # noqa: BLE001 - raised by `search`
            self.broken = error

    def _keep(self, trial: Trial) -> None:
        if trial.number == 0 and trial.state == "failed":
            raise DatasetError(f"the search's first trial, the spec as it stands, failed: {trial.problem}")
        self.done.append(trial)
        self._heard(trial)


def _tune(plan: Plan, rows: Files, features: Sequence[str], reach: Reach, name: str) -> None:
    there = reach.connect("cluster" if place(reach.address) == "cluster" else "local")
    each = {"CPU": 1.0, **({"GPU": 1.0} if plan.spec.trainer.gpu else {})}
    refuse_more_than_there_is(each, 1, there)
    for key, value in TUNE_SETTINGS.items():
        os.environ.setdefault(key, value)
    from ray import tune

    own = reach.storage.below(name)
    own.clear()
    given = tune.with_parameters(
        run_trial, rows=rows, spec=plan.spec.model_dump_json(), features=tuple(features)
    )
    settings = tune.TuneConfig(
        search_alg=_asking(plan),
        scheduler=_scheduler(plan),
        num_samples=-1,
        max_concurrent_trials=plan.search.concurrent,
        reuse_actors=True,
    )
    run = tune.RunConfig(
        **for_ray(own),
        verbose=0,
        failure_config=tune.FailureConfig(max_failures=LOST_WORKERS),
    )
    resources = {kind.lower(): amount for kind, amount in each.items()}
    tune.Tuner(tune.with_resources(given, resources), tune_config=settings, run_config=run).fit()
    own.clear()


def _asking(plan: Plan) -> Any:
    """The plan as Tune's search algorithm."""
    from ray.tune.search import Searcher

    class Asking(Searcher):
        numbers: dict[str, int] = {}

        def suggest(self, trial_id: str) -> Any:
            if plan.over():
                return Searcher.FINISHED
            number, values = plan.next()
            self.numbers[trial_id] = number
            return {"parameters": json.dumps(values)}

        def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
            plan.end(self.numbers.pop(trial_id), **_outcome(result or {}, error))

    return Asking()


def _outcome(result: Mapping[str, Any], error: bool) -> dict[str, Any]:
    """What a trial's last report says of its end: one that ASHA stopped has not said that it is finished."""
    if error:
        return {"state": "failed", "rungs": [], "problem": f"its process was lost {LOST_WORKERS + 1} times"}
    outcome = json.loads(result["outcome"])
    return outcome if outcome["state"] != "running" else outcome | {"state": "stopped"}


def _scheduler(plan: Plan) -> Any:
    """ASHA, told what the trials that are done had scored at its rungs; or none."""
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

    rounds, asha = plan.spec.trainer.rounds, plan.search.asha
    rungs = asha.rungs(rounds) if asha else []
    if asha is None or not rungs:
        return FIFOScheduler()
    scheduler: Any = ASHAScheduler(
        "rung", "goodness", "max", max_t=rounds, grace_period=rungs[0], reduction_factor=asha.reduction
    )
    for trial in sorted(plan.done, key=lambda t: t.ended):
        stand_in = SimpleNamespace(trial_id=f"done-{trial.number}")
        scheduler.on_trial_add(None, stand_in)
        for rung, score in trial.rungs:
            report = {"rung": rung, "goodness": float(goodness(plan.metric, score))}
            scheduler.on_trial_result(None, stand_in, report)
    return scheduler
