"""A fit that a KubeRay job runs: its job and its outcome lie among its checkpoints, which both sides see.

The job is JSON, and the outcome a line of JSON with the model's bytes behind it, so that nothing is executed when one
of them is read. Both are replaced whole, and an outcome is taken only for the very job that it was made from.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from mlops_assets.ml.cost import Cost
from mlops_assets.ml.dataset import Encoding
from mlops_assets.ml.training.checkpoints import Checkpoints, name_in
from mlops_assets.ml.training.ladder import ComputeError, Reach, Rung, job_name, resources
from mlops_assets.ml.training.shards import Files
from mlops_assets.ml.training.trainers.base import Job, Outcome, pack, unpack
from mlops_assets.spec.decides import of_a_fit
from mlops_assets.spec.model import ModelSpec

JOB, OUTCOME = "job.json", "outcome"
COMMAND = ("python", "-m", "mlops_assets.commands.sent_fit")


def fit_on_kuberay(job: Job, rung: Rung, reach: Reach, checkpoints: Checkpoints) -> tuple[Outcome, Cost]:
    """Send a fit to a Ray cluster of its own and wait for its outcome; one that lies there already is taken.

    Raises ComputeError where the cluster is done and there is no outcome.
    """
    text = job_text(job, rung)
    checkpoints.write(JOB, text.encode())
    digest = digest_of(text)
    trainer = job.spec.trainer
    reach.send(
        job_name(name_in(checkpoints.address)),
        digest,
        command=(*COMMAND, checkpoints.address),
        workers=rung.workers,
        each=resources(trainer),
        accelerator=trainer.accelerator_type,
        paths=[path for path in (checkpoints.address, *_files(job).paths) if "://" not in path],
        done=lambda: read_outcome(checkpoints, digest) is not None,
    )
    outcome = read_outcome(checkpoints, digest)
    if outcome is None:
        raise ComputeError(
            f"the KubeRay job {rung.job} is done and {checkpoints.at(OUTCOME)} is not there: run it again"
        )
    return outcome


def job_text(job: Job, rung: Rung) -> str:
    """A job as JSON, the same for the same job; its rows must be files."""
    rows = _files(job)
    return json.dumps(
        {
            "spec": job.spec.model_dump(mode="json"),
            "encoding": job.encoding.as_dict(),
            "rows": {"paths": rows.paths, "known_by": _text(rows.known_by), "since": _text(rows.since)},
            "cut": _text(job.cut),
            "rounds": job.rounds,
            "checkpoint_every": job.checkpoint_every,
            "rung": asdict(rung),
        },
        indent=1,
    )


def read_job(text: str) -> tuple[Job, Rung, str]:
    """The job in what `sent` wrote, its step, and the hash by which its outcome is known."""
    document = json.loads(text)
    encoding, rows = document["encoding"], document["rows"]
    known_by = _moment(rows["known_by"])
    assert known_by is not None
    job = Job(
        spec=ModelSpec.model_validate(document["spec"]),
        encoding=Encoding.from_dict(encoding),
        rows=Files(tuple(rows["paths"]), known_by, _moment(rows["since"])),
        cut=_moment(document["cut"]),
        rounds=document["rounds"],
        checkpoint_every=document["checkpoint_every"],
    )
    return job, Rung(**document["rung"]), digest_of(text)


def write_outcome(checkpoints: Checkpoints, outcome: Outcome, cost: Cost, job: str) -> None:
    """Keep what a fit gave; `job` is the hash of the job that it was."""
    header = {
        "job": job,
        "sha256": hashlib.sha256(outcome.model).hexdigest(),
        "rounds": outcome.rounds,
        "history": {name: [float(v) for v in values] for name, values in outcome.history.items()},
        "importance": _numbers(outcome.importance),
        "phases": _numbers(outcome.phases),
        "speed": _numbers(outcome.speed),
        "cost": _numbers(asdict(cost)),
    }
    checkpoints.write(OUTCOME, pack(header, outcome.model))


def read_outcome(checkpoints: Checkpoints, job: str) -> tuple[Outcome, Cost] | None:
    """The outcome of the job with this hash; None where there is none, another's, or not all of one."""
    stored = checkpoints.load_or_none(OUTCOME)
    if stored is None:
        return None
    try:
        header, model = unpack(stored.content)
        if header["job"] != job or hashlib.sha256(model).hexdigest() != header["sha256"]:
            return None
        fields = ("rounds", "history", "importance", "phases", "speed")
        return Outcome(model, *(header[name] for name in fields)), Cost(**header["cost"])
    except (ValueError, KeyError, TypeError):
        return None


def digest_of(text: str) -> str:
    """By which a job is told from others of its name; 40 characters, so that it can be a label.

    Of the spec counts what decides a fit and what a worker asks for: how the model is watched meanwhile does not.
    """
    document = json.loads(text)
    trainer = document["spec"]["trainer"]
    amounts = {name: trainer[name] for name in ("accelerator_type", "resources_per_worker")}
    decisive = json.dumps(document | {"spec": of_a_fit(document["spec"]), "asked": amounts})
    return hashlib.sha256(decisive.encode()).hexdigest()[:40]


def _files(job: Job) -> Files:
    if not isinstance(job.rows, Files):
        raise TypeError(f"a fit in another place needs its rows as files, not as {type(job.rows).__name__}")
    return job.rows


def _numbers(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, str) else float(value) for name, value in given.items()}


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
