"""`mlops`: replay a year, run the servers, try a variant, decide who is champion, verify a version, see what lies in the state folder."""

import argparse
import logging
import sys
from collections.abc import Sequence

from mlops_assets.commands import audit, clean, decisions, pushes, verify
from mlops_assets.commands.moments import named_day
from resources.settings import settings, silence_usage_reports
from resources.state_folder import refuse_unusable
from resources.told import in_words


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and dispatch; a rule that was broken ends with one sentence and exit status 1."""
    silence_usage_reports()
    if not sys.warnoptions:
        _keep_warnings_out()
    options = parser().parse_args(arguments)
    try:
        return in_words(lambda: _act(options), debug=options.debug, status=options.status)
    except KeyboardInterrupt:
        print("\nstopped; start it again to go on where it was", file=sys.stderr)
        return 130


def _act(options: argparse.Namespace) -> int:
    """The command, once it is known that the state folder can be used."""
    refuse_unusable(settings().home, options.writes)
    return options.act(options)


def _keep_warnings_out() -> None:
    """Libraries warn about each other, and undo filters; `python -W default` shows what they say."""
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").propagate = False


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    top = argparse.ArgumentParser(prog="mlops", description=__doc__)
    top.add_argument("--debug", action="store_true", help="print an error's traceback too")
    top.set_defaults(writes=True, status=1)
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
    size.set_defaults(act=_size, writes=False)
    return top


def _run(options: argparse.Namespace) -> int:
    from mlops_assets.replay.year import replay_year

    return replay_year(settings(), options.through, not options.no_compare, not options.no_second_model)


def _dev(options: argparse.Namespace) -> int:
    from mlops_assets.local.servers import main as dev

    return dev(settings())


def _train(options: argparse.Namespace) -> int:
    from mlops_assets.commands.train import try_variant

    return try_variant(settings(), options.model, options.changes, register=not options.no_register)


def _size(options: argparse.Namespace) -> int:
    from mlops_assets.replay.year import print_size

    print_size(settings())
    return 0


if __name__ == "__main__":
    sys.exit(main())
