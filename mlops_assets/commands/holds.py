"""`mlops pause`, `resume` and `retire`: what freezes a model or all of them, as the jobs of the same kind in the UI do."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.commands.task import command
from resources.settings import Settings, settings

if TYPE_CHECKING:
    from resources.audit.log import Audit, Entry

Model = Annotated[str | None, typer.Argument(help="one model; give a name, or --all")]
Why = Annotated[str, typer.Option("--why", "--reason", metavar="WHY", help="what everybody is told")]
By = Annotated[str, typer.Option(metavar="NAME", help="who decides; by default the account")]


def add(app: typer.Typer) -> None:
    """Add the three to the commands."""
    command(app, "pause")(_pause)
    command(app, "resume")(_resume)
    command(app, "retire")(_retire)


def _pause(
    why: Why,
    model: Model = None,
    everything: Annotated[bool, typer.Option("--all", help="every model there is or will be")] = False,
    by: By = "",
) -> int:
    """freeze retraining and promotion, of one model or of all; scoring and reports go on"""
    from mlops_assets.promotion.holds import pause

    _refuse_both_or_none(model, everything)
    return _act(pause, model, by, why)


def _resume(
    why: Why = "",
    model: Annotated[
        str | None,
        typer.Argument(help="one model that was paused by itself; else the pause of all is lifted"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="the same as naming no model")] = False,
    by: By = "",
) -> int:
    """lift a pause"""
    from mlops_assets.promotion.holds import resume

    _refuse_both_or_none(model, everything or model is None)
    return _act(resume, model, by, why or "the pause is over")


def _retire(
    model: str,
    why: Why,
    undo: Annotated[bool, typer.Option("--undo", help="bring it back instead")] = False,
    by: By = "",
) -> int:
    """take a model off the endpoint and stop its sensors; everything is kept"""
    from mlops_assets.promotion.holds import reinstate, retire

    return _act(reinstate if undo else retire, model, by, why)


def _refuse_both_or_none(model: str | None, everything: bool) -> None:
    from mlops_assets.promotion.holds import HoldError

    if bool(model) == everything:
        raise HoldError("a hold is on one model or on all: name one, or give --all")


def _act(act: Callable[..., tuple["Entry", bool]], model: str | None, by: str, why: str) -> int:
    """Record it, then show it where people look; 1 where it was refused, with the rule."""
    from mlops_assets.automation.holding import in_words
    from mlops_assets.promotion.holds import Holds
    from mlops_assets.promotion.records import account
    from resources.cluster import resources_of

    where = settings()
    parts = resources_of(where)
    audit: Audit = parts["audit"]
    trained = sorted({str(entry.model) for entry in audit.entries(kinds=("trained",))})
    if model and model not in trained:
        _refuse_unknown(model)
    entry, new = act(audit, parts["endpoint"], model, by or account(), why)
    print(in_words(entry, new))
    for sentence in Holds.of(audit).sentences():
        print(f"on hold: {sentence}")
    _show_in_ui(where, audit, entry, new, trained)
    return 0


def tell(where: Settings) -> None:
    """Print what is on hold, for whoever starts to work on a state."""
    from resources.cluster import resources_of
    from resources.storage.addresses import storage_at

    if not storage_at(where.audit).names("entries"):
        return
    from mlops_assets.promotion.holds import Holds

    for sentence in Holds.of(resources_of(where)["audit"]).sentences():
        print(f"on hold: {sentence}", flush=True)


def _refuse_unknown(model: str) -> None:
    """Raise for a model that was never trained and that no file declares either."""
    from mlops_assets.promotion.holds import HoldError
    from mlops_assets.spec.files import read_specs

    if model not in (known := read_specs()):
        raise HoldError(f"model {model!r} does not exist; there are: {', '.join(sorted(known)) or 'none'}")


def _show_in_ui(where: Settings, audit: "Audit", entry: "Entry", new: bool, models: list[str]) -> None:
    """Leave the event on the pages of `<model>/deployment`, where there is a Dagster instance to leave it in."""
    from mlops_assets.local.instance import instance_in

    with instance_in(where) as instance:
        if instance is None:
            return
        from mlops_assets.automation.holding import hold_events

        for event in hold_events(audit, entry, new, models):
            instance.report_runless_asset_event(event)
