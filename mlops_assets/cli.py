"""`mlops`: replay a year, run the servers, try a variant, decide who is champion, verify a version, see what lies in the state folder."""

import gc
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from mlops_assets.commands import (
    alerts,
    audit,
    backup,
    check,
    clean,
    cluster,
    data,
    decisions,
    features,
    holds,
    keys,
    live,
    metrics,
    migrate,
    monitoring,
    new,
    parity,
    pushes,
    reap,
    recalibrate,
    retention,
    rollout,
    schema,
    status,
    verify,
)
from mlops_assets.commands.task import Task, command, group
from resources.command_errors import in_words
from resources.settings import settings, silence_usage_reports
from resources.state_folder import refuse_unusable
from resources.use_case_folders import default_use_case

app = group(__doc__)
COLLECT_AFTER = 20_000
"""Objects after which a replay looks for cycles: at Python's 700, a fifth of the CPU of its imports goes into looking."""


@dataclass
class Top:
    """The options before a command's name."""

    debug: bool = False


@app.callback()
def top(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="print an error's traceback too")] = False,
) -> None:
    """`mlops`: replay a year, run the servers, try a variant, decide who is champion, verify a version, see what lies in the state folder."""
    context.obj.debug = debug


@command(app, "run")
def _run(
    use_case: Annotated[
        str, typer.Argument(help="which use case; the project's own example by default")
    ] = "",
    through: Annotated[
        str | None,
        typer.Option(metavar="PARTITION", help="stop after this one, for example 2024-03-25"),
    ] = None,
    no_compare: Annotated[
        bool, typer.Option("--no-compare", help="leave out the comparison of retraining policies")
    ] = False,
    no_second_model: Annotated[
        bool, typer.Option("--no-second-model", help="leave out the models that are trained once")
    ] = False,
) -> int:
    """replay a use case: ingest, score, report and retrain partition by partition"""
    gc.set_threshold(COLLECT_AFTER)
    from mlops_assets.replay.job import ReplayOrder, replay_history

    migrate.tell_what_waits(settings())
    holds.tell(settings())
    order = ReplayOrder(use_case or default_use_case(), through, not no_compare, not no_second_model)
    return replay_history(settings(), order)


@command(app, "dev")
def _dev() -> int:
    """web UI, MLflow and the endpoint on 127.0.0.1 until Ctrl-C"""
    from mlops_assets.local import servers

    migrate.tell_what_waits(settings())
    holds.tell(settings())
    return servers.main(settings())


@command(app, "train")
def _train(
    model: str,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="a trainer parameter, for example max_depth=8"),
    ] = None,
    no_register: Annotated[
        bool, typer.Option("--no-register", help="log an MLflow run only, register nothing")
    ] = False,
) -> int:
    """fit a variant of a model and compare it with the champion"""
    from mlops_assets.commands.train import try_variant

    return try_variant(settings(), model, changes or [], register=not no_register)


status.add(app)
alerts.add(app)
audit.add(app)
backup.add(app)
check.add(app)
new.add(app)
schema.add(app)
decisions.add(app)
rollout.add(app)
holds.add(app)
keys.add(app)
live.add(app)
metrics.add(app)
monitoring.add(app)
verify.add(app)
clean.add(app)
pushes.add(app)
data.add(app)
features.add(app)
cluster.add(app)
parity.add(app)
migrate.add(app)
reap.add(app)
recalibrate.add(app)
retention.add(app)


@command(app, "size", writes=False)
def _size() -> int:
    """how much state there is, by folder"""
    from mlops_assets.replay.job import print_size

    print_size(settings())
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and dispatch; a rule that was broken ends with one sentence and exit status 1, a wrong command line with 2."""
    silence_usage_reports()
    if not sys.warnoptions:
        _keep_warnings_out()
    before = Top()
    try:
        task = parsed(arguments, before)
    except typer.TyperException as error:
        _show(error)
        return 2
    if task is None:
        return 0
    try:
        return in_words(lambda: _act(task), debug=before.debug, status=task.status)
    except KeyboardInterrupt:
        print("\nstopped; start it again to go on where it was", file=sys.stderr)
        return 130


def parsed(arguments: Sequence[str] | None, before: Top | None = None) -> Task | None:
    """The task that a command line names; None where it asked for help, which is printed. Raises TyperException for a wrong one."""
    task = app(arguments, prog_name="mlops", standalone_mode=False, obj=before or Top())
    return task if isinstance(task, Task) else None


def _show(error: typer.TyperException) -> None:
    context: typer.Context | None = getattr(error, "ctx", None)
    if context:
        print(context.get_usage(), file=sys.stderr)
    print(f"error: {error.format_message()}", file=sys.stderr)


def _act(task: Task) -> int:
    """The command, once it is known that the state folder can be used."""
    refuse_unusable(settings().home, task.writes)
    return task.act()


def _keep_warnings_out() -> None:
    """Libraries warn about each other, and undo filters; `python -W default` shows what they say."""
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").propagate = False


if __name__ == "__main__":
    sys.exit(main())
