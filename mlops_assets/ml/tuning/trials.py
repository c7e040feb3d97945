"""The trials of a hyperparameter search: the spec of one, the process that fits and scores it, and what is kept of it."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Literal, Self

import polars as pl

from mlops_assets.ml.judging.metrics import evaluate, goodness
from mlops_assets.ml.scores import undefined
from mlops_assets.ml.training.distributed import in_process
from mlops_assets.ml.training.fit import Scorer
from mlops_assets.ml.training.shards import Files, Held, Survey
from mlops_assets.ml.training.trainers.base import Job, aside
from mlops_assets.spec.columns import LABEL
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.search import with_parameters

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Trial:
    """A trial that is done: what it tried, how it ended, and what it scored at each rung and in the end."""

    number: int
    parameters: dict[str, Any]
    state: Literal["finished", "stopped", "failed"]
    score: float | None = None
    rounds: int = 0
    rungs: list[tuple[int, float]] = field(default_factory=list)
    sha256: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    ended: float = 0.0
    """Seconds of search until then, those of earlier processes included."""
    problem: str = ""

    def record(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read back what `record` gave."""
        known: dict[str, Any] = {**record}
        known["rungs"] = [(int(rounds), float(score)) for rounds, score in record["rungs"]]
        return cls(**known)


def metric_of(spec: ModelSpec) -> str:
    """What the trials of a spec are compared by."""
    return (spec.search.metric if spec.search else None) or spec.gate.metric


def with_found(spec: ModelSpec, parameters: Values) -> ModelSpec:
    """The spec with these parameters in its trainer."""
    return spec.model_copy(update={"trainer": with_parameters(spec.trainer, parameters)})


def trial_spec(spec: ModelSpec, parameters: Values) -> ModelSpec:
    """The spec of one trial: the training's own, on one thread of one process."""
    changed = with_found(spec, parameters)
    single = {"threads": 1, "workers": 1, "compute": "in_process"}
    return changed.model_copy(update={"trainer": changed.trainer.model_copy(update=single)})


def parameters_hash(parameters: Values) -> str:
    """SHA-256 of parameters as canonical JSON: the same values give the same hash."""
    return hashlib.sha256(json.dumps(dict(parameters), sort_keys=True).encode()).hexdigest()


def better(metric: str, trials: Iterable[Trial]) -> list[Trial]:
    """The finished trials, best first; of equal ones the earlier."""
    done = [(goodness(metric, t.score), t) for t in trials if t.state == "finished" and t.score is not None]
    return [t for _, t in sorted(done, key=lambda pair: (-pair[0], pair[1].number))]


def run_trial(config: Values, rows: Files, spec: str, features: tuple[str, ...]) -> None:
    """One trial, in a process of Tune's: a fit as the training does it, its score reported at each rung and in the end."""
    from ray import tune

    clocks = time.perf_counter(), time.process_time()
    held, survey, base = _prepared(rows, spec, features)
    worker = Telling(base, held.frame.filter(pl.col(base.prediction.time) >= survey.cut), clocks)
    try:
        outcome = in_process(_job(trial_spec(base, json.loads(config["parameters"])), held, survey), worker)
        score = worker.score(outcome.model)
    except Exception as error:  # noqa: BLE001 - whatever a library says of these values is the trial's outcome
        tune.report(
            {"goodness": -math.inf, "outcome": json.dumps(worker.so_far("failed", problem=str(error)[:500]))}
        )
        return
    worker.finish(outcome.model, outcome.rounds, score)


def _job(spec: ModelSpec, held: Held, survey: Survey) -> Job:
    trainer = spec.trainer
    return Job(spec, survey.encoding, held, survey.cut, trainer.rounds, trainer.checkpoint_every)


@lru_cache(maxsize=1)
def _prepared(rows: Files, text: str, features: tuple[str, ...]) -> tuple[Held, Survey, ModelSpec]:
    """The rows of all trials, read once a process: Tune gives the next trial to the process of the last."""
    spec = ModelSpec.model_validate_json(text)
    held = Held(rows.part(spec, 0, 1))
    return held, held.survey(spec, features, stops=True), spec


class Telling:
    """The worker of a trial: it tells Tune the score of the model so far at each rung, and may be stopped there."""

    rank, size = 0, 1

    def __init__(self, spec: ModelSpec, validation: pl.DataFrame, clocks: tuple[float, float]) -> None:
        assert spec.search is not None
        asha = spec.search.asha
        self._spec, self._validation, self._clocks = spec, validation, clocks
        self._due = set(asha.rungs(spec.trainer.rounds)) if asha else set()
        self._rungs: list[tuple[int, float]] = []
        self._metric = metric_of(spec)

    def resume(self) -> bytes | None:
        """A trial is short: it begins anew."""
        return None

    def save(self, state: Callable[[], bytes]) -> None:
        """Nothing is kept, but a fit that makes checkpoints goes through the same stretches."""

    def reached(self, rounds: int, model: Callable[[], bytes]) -> None:
        from ray import tune

        if rounds not in self._due or (score := aside(lambda: self.score(model()))) is None:
            return
        self._rungs.append((rounds, score))
        outcome = self.so_far("running", score=score, rounds=rounds)
        good = float(goodness(self._metric, score))
        tune.report({"goodness": good, "rung": rounds, "outcome": json.dumps(outcome)})

    def finish(self, model: bytes, rounds: int, score: float | None) -> None:
        """The last report; without a rung, so that ASHA lets it pass."""
        from ray import tune

        if score is None:
            problem = f"{self._metric} of the validation rows is {undefined(self._metric)}"
            outcome, good = self.so_far("failed", problem=problem), -math.inf
        else:
            digest = hashlib.sha256(model).hexdigest()
            outcome = self.so_far("finished", score=score, rounds=rounds, sha256=digest)
            good = float(goodness(self._metric, score))
        tune.report({"goodness": good, "outcome": json.dumps(outcome)})

    def _scorer(self, model: bytes) -> Scorer:
        return Scorer(model, code=self._spec.code, name="the trial's model")

    def score(self, model: bytes) -> float | None:
        """The metric on the validation rows, None where it is undefined; raises ScoreError for scores that are not finite."""
        labels, predicted = self._validation[LABEL].to_numpy(), self._scorer(model).predict(self._validation)
        return evaluate(labels, predicted, self._spec.task)[self._metric]

    def so_far(self, state: str, **more: Any) -> dict[str, Any]:
        """What is known of the trial, as JSON can hold it."""
        wall, cpu = time.perf_counter() - self._clocks[0], time.process_time() - self._clocks[1]
        return {"state": state, "rungs": self._rungs, "seconds": wall, "cpu_seconds": cpu, **more}
