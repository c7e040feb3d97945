"""`mlops approve`, `reject` and `rollback`: what a named person decides, as the jobs of the same kind in the UI do."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from resources.settings import Settings, settings
from resources.systems import Systems

if TYPE_CHECKING:
    from resources.audit.log import Entry


def add(commands: Any) -> None:
    """Add the three to the parser's commands."""
    for name, job, told in (
        ("approve", "approve_challenger", "let a challenger that passed the gate and waits become champion"),
        ("reject", "reject_challenger", "say no to a challenger that passed the gate and waits"),
    ):
        parser = commands.add_parser(name, help=told)
        parser.add_argument("model")
        parser.add_argument("--version", type=int, required=True, help="the challenger's version")
        parser.add_argument("--by", required=True, metavar="NAME", help="who decides, one of the approvers")
        parser.add_argument("--reason", default="", metavar="WHY")
        parser.set_defaults(act=_decide, job=job)
    back = commands.add_parser("rollback", help="make an earlier champion champion again, within seconds")
    back.add_argument("model")
    back.add_argument(
        "--to", type=int, metavar="VERSION", help="an earlier champion; by default the one before"
    )
    back.add_argument("--by", required=True, metavar="NAME", help="who decides")
    back.add_argument("--reason", required=True, metavar="WHY")
    back.set_defaults(act=_roll_back)


def _decide(options: argparse.Namespace) -> int:
    """Run the job that the UI has too, in this process; 1 where the decision was refused, with the rule."""
    from mlops_assets.project import Project
    from mlops_assets.replay.clock import QUIET

    project = Project.open(settings())
    asked = {name: getattr(options, name) for name in ("model", "version", "by", "reason")}
    config = {**QUIET, "ops": {options.job.split("_")[0]: {"config": asked}}}
    job = project.defs.resolve_job_def(options.job)
    done = job.execute_in_process(instance=project.instance, run_config=config, raise_on_error=False)
    if not done.success:
        print(f"error: {_words(done)}", file=sys.stderr)
        return 1
    champion = project.tracking.champion(options.model)
    print(f"{options.model} version {options.version}: recorded, by {options.by} (run {done.run_id})")
    print(f"champion: version {champion.number}" if champion else "there is no champion")
    return 0


def _words(done: Any) -> str:
    """Why the run failed: the refusal's own words, or the error with its step."""
    from mlops_assets.replay.clock import first_error

    for event in done.all_events:
        if event.event_type_value == "STEP_FAILURE" and event.event_specific_data.user_failure_data:
            return event.event_specific_data.user_failure_data.description
    return first_error(done.all_events)


def _roll_back(options: argparse.Namespace) -> int:
    """Roll back without loading the project, so that it takes seconds; 1 where it was refused, with the rule."""
    from mlops_assets.automation.decisions import go_back
    from resources.local import local_resources

    where = settings()
    systems = Systems.of(local_resources(where))
    entry = go_back(systems, options.model, options.to, options.by, options.reason)
    print(
        f"{options.model}: version {entry.version} is champion (entry {entry.seq}, rolled back by {entry.by})"
    )
    _show_in_ui(where, entry)
    return 0


def _show_in_ui(where: Settings, entry: "Entry") -> None:
    """Leave the event on the page of `<model>/deployment`, where there is a Dagster instance to leave it in."""
    if not (where.dagster_home / "dagster.yaml").exists():
        return
    import dagster as dg

    from mlops_assets.automation.decisions import deployment_event, told

    with dg.DagsterInstance.from_config(str(where.dagster_home)) as instance:
        instance.report_runless_asset_event(deployment_event(str(entry.model), told(entry)))
