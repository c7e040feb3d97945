"""`mlops`: replay a year, run the servers, try a variant, decide who is champion, verify a version, see what lies in the state folder."""

import argparse
import logging
import sys
from collections.abc import Sequence

from mlops_assets.commands import audit, clean, decisions, pushes, verify
from mlops_assets.commands.moments import named_day
from resources.settings import settings, silence_usage_reports


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and dispatch; a rule that was broken ends with one sentence and exit status 1."""
    silence_usage_reports()
    if not sys.warnoptions:
        _keep_warnings_out()
    options = parser().parse_args(arguments)
    try:
        return options.act(options)
    except KeyboardInterrupt:
        print("\nstopped; start it again to go on where it was", file=sys.stderr)
        return 130


def _keep_warnings_out() -> None:
    """Libraries warn about each other, and undo filters; `python -W default` shows what they say."""
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").propagate = False


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    top = argparse.ArgumentParser(prog="mlops", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="command")

    replay = commands.add_parser(
        "run", help="replay the year: ingest, score, report and retrain week by week"
    )
    replay.add_argument(
        "--through", metavar="WEEK", type=named_day, help="stop after this week, for example 2013-03-25"
    )
    replay.add_argument(
        "--no-compare", action="store_true", help="leave out the comparison of retraining policies"
    )
    replay.add_argument(
        "--no-second-model", action="store_true", help="leave out the models that are trained once"
    )
    replay.set_defaults(act=_run)

    dev = commands.add_parser("dev", help="web UI, MLflow and the endpoint on 127.0.0.1 until Ctrl-C")
    dev.set_defaults(act=_dev)

    train = commands.add_parser("train", help="fit a variant of a model and compare it with the champion")
    train.add_argument("model")
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="changes",
        help="a trainer parameter, for example max_depth=8",
    )
    train.add_argument("--no-register", action="store_true", help="log an MLflow run only, register nothing")
    train.set_defaults(act=_train)

    audit.add(commands)
    decisions.add(commands)
    verify.add(commands)
    clean.add(commands)
    pushes.add(commands)

    size = commands.add_parser("size", help="how much state there is, by folder")
    size.set_defaults(act=_size)
    return top


def _run(options: argparse.Namespace) -> int:
    from mlops_assets.main_job import replay_year
    from mlops_assets.project import ProjectError
    from mlops_assets.replay import ReplayError
    from resources.at_work import AtWorkError

    try:
        return replay_year(settings(), options.through, not options.no_compare, not options.no_second_model)
    except (ReplayError, ProjectError, AtWorkError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _dev(options: argparse.Namespace) -> int:
    from mlops_assets.dev import main as dev

    return dev(settings())


def _train(options: argparse.Namespace) -> int:
    from mlops_assets.project import ProjectError
    from mlops_assets.variant import VariantError, try_variant

    try:
        return try_variant(settings(), options.model, options.changes, register=not options.no_register)
    except (VariantError, ProjectError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _size(options: argparse.Namespace) -> int:
    from mlops_assets.main_job import print_size

    print_size(settings())
    return 0


if __name__ == "__main__":
    sys.exit(main())
