"""A fit that a KubeRay job runs: its job and its outcome as files of a folder that both sides see.

The job is JSON, and the outcome a line of JSON with the model's bytes behind it, so that nothing is executed when one
of them is read. Both are replaced whole, and an outcome is taken only for the very job that it was made from.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from mlops_assets.ml.cost import Cost
from mlops_assets.ml.dataset import Encoding
from mlops_assets.ml.training.ladder import ComputeError, Reach, Rung, job_name, resources
from mlops_assets.ml.training.shards import Files
from mlops_assets.ml.training.trainers.base import Job, Outcome, pack, unpack
from mlops_assets.spec.decides import of_a_fit
from mlops_assets.spec.model import ModelSpec

JOB, OUTCOME = "job.json", "outcome"
COMMAND = ("python", "-m", "mlops_assets.commands.sent_fit")


def sent(job: Job, rung: Rung, reach: Reach, folder: Path) -> tuple[Outcome, Cost]:
    """Send a fit to a Ray cluster of its own and wait for its outcome; one that lies in `folder` already is taken.

    Raises ComputeError where the cluster is done and `folder` has no outcome.
    """
    text = job_text(job, rung)
    replaced(folder / JOB, text.encode())
    digest = digest_of(text)
    trainer = job.spec.trainer
    reach.send(
        job_name(folder.name),
        digest,
        command=(*COMMAND, str(folder)),
        workers=rung.workers,
        each=resources(trainer),
        accelerator=trainer.accelerator_type,
        paths=(str(folder), *_files(job).paths),
        done=lambda: read_outcome(folder, digest) is not None,
    )
    found = read_outcome(folder, digest)
    if found is None:
        raise ComputeError(
            f"the KubeRay job {rung.job} is done and {folder / OUTCOME} is not there: run it again"
        )
    return found


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


def read_job(folder: Path) -> tuple[Job, Rung, str]:
    """The job that `sent` wrote, its step, and the hash by which its outcome is known."""
    text = (folder / JOB).read_text()
    told = json.loads(text)
    encoding, rows = told["encoding"], told["rows"]
    known_by = _moment(rows["known_by"])
    assert known_by is not None
    job = Job(
        spec=ModelSpec.model_validate(told["spec"]),
        encoding=Encoding.from_dict(encoding),
        rows=Files(tuple(rows["paths"]), known_by, _moment(rows["since"])),
        cut=_moment(told["cut"]),
        rounds=told["rounds"],
        checkpoint_every=told["checkpoint_every"],
    )
    return job, Rung(**told["rung"]), digest_of(text)


def write_outcome(folder: Path, outcome: Outcome, cost: Cost, job: str) -> None:
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
    replaced(folder / OUTCOME, pack(header, outcome.model))


def read_outcome(folder: Path, job: str) -> tuple[Outcome, Cost] | None:
    """The outcome of the job with this hash; None where there is none, another's, or not all of one."""
    try:
        header, model = unpack((folder / OUTCOME).read_bytes())
        if header["job"] != job or hashlib.sha256(model).hexdigest() != header["sha256"]:
            return None
        told = ("rounds", "history", "importance", "phases", "speed")
        return Outcome(model, *(header[name] for name in told)), Cost(**header["cost"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def replaced(file: Path, content: bytes) -> None:
    """Write a file so that whoever reads it sees the old or the new content, also after a crash."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(file)


def digest_of(text: str) -> str:
    """By which a job is told from others of its name; 40 characters, so that it can be a label.

    Of the spec counts what decides a fit and what a worker asks for: how the model is watched meanwhile does not.
    """
    told = json.loads(text)
    trainer = told["spec"]["trainer"]
    asked = {name: trainer[name] for name in ("accelerator_type", "resources_per_worker")}
    kept = json.dumps(told | {"spec": of_a_fit(told["spec"]), "asked": asked})
    return hashlib.sha256(kept.encode()).hexdigest()[:40]


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
