"""One replay lived in several lives: each is a process that is killed in its moment, the last one reaches the end.

Run as `python -m tests.acceptance.lives MOMENTS ARGUMENT...`, MOMENTS a JSON file with a list: a moment a life, null
for a life that nothing ends. The arguments are those of `mlops`. The lives are forked from a process that has imported
the libraries and used none of them, so that a new life costs a second instead of ten.
"""

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

HEAVY = (
    *(
        "mlops_assets.project",
        "mlops_assets.replay.job",
        "mlops_assets.commands.train",
        "feature_repo.online_store.sqlite.store",
    ),
    *(
        "feast",
        "mlflow",
        "mlflow.xgboost",
        "evidently",
        "xgboost",
        "matplotlib.pyplot",
        "sklearn.metrics",
        "ibis",
    ),
)


def live(last: str | None, trace: Path, arguments: list[str]) -> int:
    """One life in a process of its own; returns its wait status."""
    sys.stdout.flush()
    if child := os.fork():
        return os.waitpid(child, 0)[1]
    code = 1
    try:
        from mlops_assets.cli import main
        from tests.acceptance.moments import Moments

        Moments(Path(os.environ["MLOPS_HOME"]), trace, last).watch()
        code = main(arguments)
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - a forked process must not go on in its parent's code
        traceback.print_exc()
    finally:
        os._exit(code)


def main(moments: Path, arguments: list[str]) -> int:
    """Live every life; the traces lie beside the file of moments."""
    for module in HEAVY:
        importlib.import_module(module)
    for number, last in enumerate(json.loads(moments.read_text())):
        status = live(last, moments.with_name(f"trace-{number:02d}.txt"), arguments)
        print(f"life {number} ended with {os.waitstatus_to_exitcode(status)} at {last}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
