"""Python commands in processes of their own that are forked when the libraries are imported: that takes most of the time
of a short command. Only libraries are shared; every module of the project is imported anew, from the command's own path.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from importlib import invalidate_caches
from multiprocessing import forkserver
from pathlib import Path
from subprocess import CompletedProcess

LIBRARIES = [
    "tests.libraries",
    *("dagster", "dagster.components", "evidently.presets", "feast.on_demand_feature_view", "lightgbm"),
    *("matplotlib.backends.backend_agg", "mlflow.xgboost", "mlflow.store.db.utils", "pandas", "polars"),
    *("mlflow.store.model_registry.sqlalchemy_store", "mlflow.store.tracking.sqlalchemy_store"),
    *("scipy.stats", "sklearn.metrics", "sqlalchemy.dialects.sqlite", "xgboost"),
]
HERE = str(Path(__file__).parents[1])


def run(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> CompletedProcess[str]:
    """What `subprocess.run` gives for `python -m module ...` or `python -c code ...`, given without `python`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = context.Process(
            target=_become, args=(list(command), dict(env), str(cwd), str(out), str(err))
        )
        process.start()
        process.join()
        assert process.exitcode is not None
        return CompletedProcess(command, process.exitcode, out.read_text(), err.read_text())


def stop() -> None:
    """End the process that forks and wait for it, so that what it used is counted as this process's children's."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


def _become(command: list[str], environment: dict[str, str], cwd: str, out: str, err: str) -> None:
    """Turn this process into the one that the command would start."""
    _redirect(out, err)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    kind, what, *arguments = command
    own = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [cwd, *own, *(path for path in sys.path if path not in ("", HERE))]
    sys.argv[:] = [kind, *arguments]
    invalidate_caches()
    os._exit(_status(kind, what))


def _redirect(out: str, err: str) -> None:
    for number, (name, path) in enumerate({"stdout": out, "stderr": err}.items(), start=1):
        file = Path(path).open("w", buffering=1)  # noqa: SIM115
        os.dup2(file.fileno(), number)
        setattr(sys, name, file)
        setattr(sys, f"__{name}__", file)


def _status(kind: str, what: str) -> int:
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()  # type: ignore[attr-defined]
    sys.stdout.flush()
    sys.stderr.flush()
    return status
