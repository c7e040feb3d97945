"""`mlops approve`, `reject` and `rollback`: what a named person decides, as the jobs of the same kind in the UI do."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops_assets.commands.task import command
from resources.settings import Settings, settings

if TYPE_CHECKING:
    from resources.audit.log import Entry


Who = Annotated[str, typer.Option(metavar="NAME", help="who decides, one of the approvers")]
Version = Annotated[int, typer.Option(help="the challenger's version")]
Why = Annotated[str, typer.Option(metavar="WHY")]


def add(app: typer.Typer) -> None:
    """Add the three to the commands."""
    command(app, "approve")(_approve)
    command(app, "reject")(_reject)
    command(app, "rollback")(_roll_back)


def _approve(model: str, version: Version, by: Who, reason: Why = "") -> int:
    """let a challenger that passed the gate and waits become champion"""
    return _decide("approve", model, version, by, reason)


def _reject(model: str, version: Version, by: Who, reason: Why = "") -> int:
    """say no to a challenger that passed the gate and waits"""
    return _decide("reject", model, version, by, reason)


def _decide(op: str, model: str, version: int, by: str, reason: str) -> int:
    """Run the job that the UI has too, in this process; 1 where the decision was refused, with the rule."""
    from mlops_assets.project import Project
    from mlops_assets.replay.clock import QUIET

    project = Project.open(settings())
    decision = {"model": model, "version": version, "by": by, "reason": reason}
    config = {**QUIET, "ops": {op: {"config": decision}}}
    job = project.defs.resolve_job_def(f"{op}_challenger")
    done = job.execute_in_process(instance=project.instance, run_config=config, raise_on_error=False)
    if not done.success:
        print(f"error: {words_of(done)}", file=sys.stderr)
        return 1
    champion = project.tracking.champion(model)
    print(f"{model} version {version}: recorded, by {by} (run {done.run_id})")
    print(f"champion: version {champion.number}" if champion else "there is no champion")
    return 0


def words_of(done: Any) -> str:
    """Why the run failed: the refusal's own words, or the error with its step."""
    from mlops_assets.replay.clock import first_error

    for event in done.all_events:
        if event.event_type_value == "STEP_FAILURE" and event.event_specific_data.user_failure_data:
            return event.event_specific_data.user_failure_data.description
    return first_error(done.all_events)


def _roll_back(
    model: str,
    by: Annotated[str, typer.Option(metavar="NAME", help="who decides")],
    reason: Why,
    to: Annotated[
        int | None, typer.Option(metavar="VERSION", help="an earlier champion; by default the one before")
    ] = None,
) -> int:
    """make an earlier champion champion again, within seconds"""
    from mlops_assets.automation.decisions import go_back
    from resources.cluster import resources_of
    from resources.systems import Systems

    where = settings()
    entry = go_back(Systems.of(resources_of(where)), model, to, by, reason)
    print(f"{model}: version {entry.version} is champion (entry {entry.seq}, rolled back by {entry.by})")
    _show_in_ui(where, entry)
    return 0


def _show_in_ui(where: Settings, entry: "Entry") -> None:
    """Leave the event on the page of `<model>/deployment`, where there is a Dagster instance to leave it in."""
    from mlops_assets.local.instance import instance_in

    with instance_in(where) as instance:
        if instance is None:
            return
        from mlops_assets.automation.decisions import deployment_event, entry_metadata

        instance.report_runless_asset_event(deployment_event(str(entry.model), entry_metadata(entry)))
