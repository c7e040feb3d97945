"""`mlops recalibrate MODEL`: the champion's scores moved to what labels since its training show, through the gate as any challenger."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops_assets.commands.decisions import words_of
from mlops_assets.commands.task import command
from resources.settings import settings

if TYPE_CHECKING:
    from mlops_assets.project import Project


def add(app: typer.Typer) -> None:
    """Add it to the commands."""
    command(app, "recalibrate")(_recalibrate)


def _recalibrate(
    model: str,
    why: Annotated[str, typer.Option("--why", "--reason", metavar="WHY", help="what the log is told")] = "",
) -> int:
    """move the champion's scores to what labels show, without a training; judged by the gate

    The job MODEL_recalibrate of the UI. 0 where the challenger was judged, whatever the verdict; 1 where nothing is recalibrated, with the reason.
    """
    from mlops_assets.automation.jobs import recalibrate_job_name
    from mlops_assets.kit.run_tags import REASON_TAG
    from mlops_assets.project import Project
    from mlops_assets.replay.clock import QUIET
    from mlops_assets.stages.variants import VariantError

    project = Project.open(settings())
    if model not in project.specs:
        raise VariantError(f"model {model!r} does not exist; there are: {', '.join(sorted(project.specs))}")
    if project.specs[model].task != "classification":
        raise VariantError(
            f"{model} is no classifier, and only a classifier's scores are chances: train again"
        )
    job = project.defs.resolve_job_def(recalibrate_job_name(model))
    tags = {REASON_TAG: why} if why else {}
    done = job.execute_in_process(
        instance=project.instance, run_config=QUIET, tags=tags, raise_on_error=False
    )
    if not done.success:
        print(f"error: {words_of(done)}", file=sys.stderr)
        return 1
    _print(project, model, done)
    return 0


def _print(project: "Project", model: str, done: Any) -> None:
    """The challenger, the verdict, and who is champion."""
    challenger, champion = project.tracking.challenger(model), project.tracking.champion(model)
    judged = project.resources["audit"].latest(model, ("evaluated",))
    if challenger:
        print(f"version {challenger.number}: {challenger.tags.get('compute')} (run {done.run_id})")
    if judged:
        print(judged.why)
    print(f"champion: version {champion.number}" if champion else "there is no champion")
