"""Trainers of one's own, as a user would write them: base rates by depot, and a built-in loop on a lost machine."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import TypeAdapter

from mlops_assets.ml.training.fit import Scorer
from mlops_assets.ml.training.kinds import trainer_kind
from mlops_assets.ml.training.trainers.base import ByteScorer, Job, Outcome, Worker
from mlops_assets.spec.trainers import Trainer


def depot_rates(job: Job, worker: Worker) -> Outcome:
    """Add a share of the rows in each round, so that a checkpoint has something to keep."""
    (x, y), _ = job.arrays(worker)
    kept = worker.resume()
    sums, done = json.loads(kept) if kept else ([[0.0, 0.0] for _ in range(4)], 0)
    for i in range(done, job.rounds):
        part = slice(i, None, job.rounds)
        codes = np.nan_to_num(x[part, -1], nan=3).astype(int)
        sums = [
            [s + float(y[part][codes == c].sum()), n + int((codes == c).sum())]
            for c, (s, n) in enumerate(sums)
        ]
        if job.checkpoint_every and (i + 1) % job.checkpoint_every == 0:
            worker.save(lambda i=i, sums=sums: json.dumps([sums, i + 1]).encode())
        worker.reached(i + 1, lambda sums=sums: _rates(job, sums))
    return Outcome(_rates(job, sums), job.rounds)


def _rates(job: Job, sums: list[list[float]]) -> bytes:
    rates = {str(c): s / max(n, 1) for c, (s, n) in enumerate(sums)}
    return json.dumps({"rates": rates, "depots": job.encoding.categories["depot"]}).encode()


def returns_text(job: Job, worker: Worker) -> str:
    return "no bytes"


class Rates(ByteScorer):
    """Reads what `depot_rates` returned."""

    def __init__(self, model: bytes) -> None:
        self.model = json.loads(model)

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        codes = {name: str(i) for i, name in enumerate(self.model["depots"])}
        return np.array([self.model["rates"][codes.get(d, "3")] for d in frame["depot"]])


class Gaps(Rates):
    """The same, with no answer where the queue is not known."""

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        return np.where(frame["queue"].is_null(), np.nan, super().predict(frame))


def killed_once(job: Job, worker: Worker) -> Outcome:
    """A built-in loop on a machine that is lost once: after its second checkpoint the first worker gets a SIGKILL.

    `parameters` has the built-in trainer, and a folder where a file says that it happened. The rounds from which it
    went on are written there, too.
    """
    return _built_in(job, Lost(worker, Path(job.spec.trainer.parameters["folder"])))


def held(job: Job, worker: Worker) -> Outcome:
    """A built-in loop that stops in the middle, after its first checkpoint, until a file lets it go on.

    `parameters` are those of `killed_once`; the files are `held` and `go`.
    """
    return _built_in(job, Held(worker, Path(job.spec.trainer.parameters["folder"])))


def _built_in(job: Job, worker: Worker) -> Outcome:
    given = TypeAdapter(Trainer).validate_python(job.spec.trainer.parameters["trainer"])
    spec = job.spec.model_copy(update={"trainer": given})
    outcome = trainer_kind(spec.trainer.kind).train(replace(job, spec=spec), worker)
    outcome.phases = {}
    return outcome


class Lost:
    """A worker whose process is killed after its second checkpoint, if it was not killed before."""

    def __init__(self, worker: Worker, folder: Path) -> None:
        self.worker, self.folder, self.saved = worker, folder, 0
        self.rank, self.size = worker.rank, worker.size

    def resume(self) -> bytes | None:
        kept = self.worker.resume()
        if self.rank == 0:
            with (self.folder / "starts").open("a") as starts:
                starts.write("resumed\n" if kept else "new\n")
        return kept

    def reached(self, rounds: int, model: Callable[[], bytes]) -> None:
        self.worker.reached(rounds, model)

    def save(self, state: Callable[[], bytes]) -> None:
        self.worker.save(state)
        self.saved += 1
        if self.rank == 0 and self.saved == 2 and not (self.folder / "lost").exists():
            _wait_until_kept()
            (self.folder / "lost").touch()
            if (self.folder / "wait").exists():
                time.sleep(600)
            os.kill(os.getpid(), signal.SIGKILL)


def _wait_until_kept() -> None:
    """A report returns before Ray Train has what it reports, which is lost if its worker dies in between."""
    import ray.train

    ray.train.get_all_reported_checkpoints(ray.train.CheckpointConsistencyMode.COMMITTED, timeout_s=60)


class Held(Lost):
    """A worker that waits in its first checkpoint."""

    def save(self, state: Callable[[], bytes]) -> None:
        self.worker.save(state)
        (self.folder / "held").touch()
        deadline = time.monotonic() + 300
        while self.rank == 0 and not (self.folder / "go").exists():
            assert time.monotonic() < deadline, "nobody let the fit go on"
            time.sleep(0.05)


class Bytes(ByteScorer):
    """Reads what those loops returned."""

    def __init__(self, model: bytes) -> None:
        self.model = Scorer(model)

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        return self.model.predict(frame)


def other_rates(job: Job, worker: Worker) -> Outcome:
    """The same loop by another name, which says so in what it returns."""
    outcome = depot_rates(job, worker)
    outcome.model = json.dumps(json.loads(outcome.model) | {"by": "another loop"}).encode()
    return outcome
