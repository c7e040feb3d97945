"""`mlops rollout MODEL`: start a roll-out of any registered version, see where it stands, pause, resume, complete or abort it."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.commands.task import command
from resources.settings import Settings, settings

if TYPE_CHECKING:
    from mlops_assets.spec.model import ModelSpec
    from resources.records.rollout import Rollout
    from resources.systems import Systems


class Target(StrEnum):
    """What serves on a cluster."""

    DEPLOYMENT = "deployment"
    KSERVE = "kserve"
    KUBERAY = "kuberay"


class Verb(StrEnum):
    """What may be asked of a roll-out."""

    STATUS = "status"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"


def add(app: typer.Typer) -> None:
    """Add it to the commands."""
    command(app, "rollout")(_rollout)


def _rollout(
    model: str,
    verb: Annotated[Verb, typer.Argument(help="what is to happen; status only looks")] = Verb.STATUS,
    version: Annotated[int | None, typer.Option(help="start: the registered version")] = None,
    ab: Annotated[bool, typer.Option("--ab", help="start: the A/B test that the spec declares")] = False,
    by: Annotated[str, typer.Option(metavar="NAME", help="who decides; by default the account")] = "",
    why: Annotated[str, typer.Option("--why", "--reason", metavar="WHY", help="what the log is told")] = "",
    render: Annotated[
        Target | None, typer.Option(help="status: print what `kubectl apply -f -` takes, as things stand")
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="--render: your own in place of deployments/kubernetes"),
    ] = None,
) -> int:
    """give a version its requests in steps: start, status, pause, resume, promote (now), abort

    0 where it was done; status: 1 where there never was a roll-out.
    """
    from mlops_assets.promotion.records import account
    from resources.cluster import resources_of
    from resources.systems import Systems

    where = settings()
    systems, spec = Systems.of(resources_of(where)), _spec(model)
    if render is not None:
        return _render(systems, spec, verb, render, template)
    if verb is Verb.STATUS:
        return _status(systems, spec)
    state = _act(systems, spec, verb, version, ab, by or account(), why)
    _print(state)
    _show_in_ui(where, systems, state)
    return 0


def _act(
    systems: "Systems", spec: "ModelSpec", verb: Verb, version: int | None, ab: bool, by: str, why: str
) -> "Rollout":
    from mlops_assets.automation.rollout import ACTS
    from mlops_assets.promotion.rollouts import RolloutError
    from mlops_assets.stages.rollout_start import ask, start

    if verb is not Verb.START:
        if version is not None or ab:
            raise RolloutError(f"--version and --ab are for start, and this is {verb}: leave them out")
        return ask(spec, systems, ACTS[verb], by, why)
    if version is None:
        raise RolloutError(f"name the version: `mlops rollout {spec.name} start --version N --why WHY`")
    return start(spec, systems, version, by, why, ab)


def _status(systems: "Systems", spec: "ModelSpec") -> int:
    from mlops_assets.promotion.rollout_states import newest

    state = newest(systems.lake, spec.name)
    if state is None:
        print(f"{spec.name} never had a roll-out")
        return 1
    _print(state)
    return 0


def _render(systems: "Systems", spec: "ModelSpec", verb: Verb, target: Target, template: Path | None) -> int:
    import yaml

    from mlops_assets.promotion.rollouts import RolloutError
    from mlops_assets.stages.rollout_manifests import manifest_now

    if verb is not Verb.STATUS:
        raise RolloutError(f"--render shows where things stand, and this is {verb}: leave one of them out")
    print(yaml.safe_dump(manifest_now(target, spec.name, systems, template), sort_keys=False), end="")
    return 0


def _print(state: "Rollout") -> None:
    from mlops_assets.promotion.rollout_states import in_words
    from mlops_assets.replay.tables import text_table
    from mlops_assets.stages.rollout_page import evidence_table, steps_table, transitions_table, waits_for

    print(f"{state.model}: {in_words(state)}")
    print(f"waits for {waits_for(state)}\n")
    tables = (steps_table(state), evidence_table(state), transitions_table(state))
    rows = [
        text_table({name: str(value) for name, value in row.items()} for row in table)
        for table in tables
        if table
    ]
    print("\n\n".join(rows))


def _spec(model: str) -> "ModelSpec":
    from mlops_assets.promotion.rollouts import RolloutError
    from mlops_assets.spec.files import read_specs

    if model not in (known := read_specs()):
        raise RolloutError(f"model {model!r} does not exist; there are: {', '.join(sorted(known)) or 'none'}")
    return known[model]


def _show_in_ui(where: Settings, systems: "Systems", state: "Rollout") -> None:
    """Leave the events on the pages of the model, where there is a Dagster instance to leave them in."""
    from mlops_assets.local.instance import instance_in

    with instance_in(where) as instance:
        if instance is None:
            return
        from mlops_assets.automation.rollout import events_of

        for event in events_of(systems.lake, state):
            instance.report_runless_asset_event(event)
