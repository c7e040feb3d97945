"""A fit through the platform beside the same fit in a bare script, on each step of the ladder.

Sides take turns in one process, so that both meet the same machine; what they cost to import is given apart. CPU time
is user and system of the process and, where Ray runs, of everything below it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.report import save
from resources.settings import PROJECT_ROOT, silence_usage_reports

silence_usage_reports()

NUMBERS, FILES = 18, 8
FEATURES = [f"x{i:02}" for i in range(NUMBERS)]
IMPORTS = {
    "bare": "import numpy, polars, xgboost",
    "platform": "import mlops_assets.ml.training.fit, xgboost, ray.train.xgboost",
}


@dataclass(frozen=True)
class Size:
    """How much work the benchmark does."""

    rows: int
    rounds: int
    turns: int
    many_rows: int
    many_rounds: int


FULL = Size(rows=1_000_000, rounds=155, turns=5, many_rows=5_000_000, many_rounds=20)
QUICK = Size(rows=100_000, rounds=60, turns=3, many_rows=300_000, many_rounds=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small data, to see that it runs")
    options = parser.parse_args()
    size = QUICK if options.quick else FULL
    figures: dict[str, Any] = {"size": vars(size), "import_cpu_seconds": imports()}
    with tempfile.TemporaryDirectory(prefix="training-bench-") as name:
        folder = Path(name)
        figures |= in_process(size, folder)
        figures |= on_ray(size, folder)
    ratios = {
        "in_process_vs_bare": figures["in_process_cpu_seconds"] / figures["bare_cpu_seconds"],
        "in_process_vs_bare_wall": figures["in_process_wall_seconds"] / figures["bare_wall_seconds"],
        "two_workers_speed_up": figures["one_worker_wall_seconds"] / figures["two_workers_wall_seconds"],
        "two_workers_speed_up_boosting": figures["one_worker_boost_seconds"]
        / figures["two_workers_boost_seconds"],
        "two_workers_vs_two_threads": figures["one_worker_two_threads_wall_seconds"]
        / figures["two_workers_wall_seconds"],
    }
    show(figures, ratios)
    name = "training-quick" if options.quick else "training"
    print(save(name, figures, {key: round(value, 3) for key, value in ratios.items()}))


def imports() -> dict[str, float]:
    """CPU-seconds that each side's libraries take to import, the least of three new processes."""
    code = "import time; {}; print(time.process_time())"
    run = {"cwd": PROJECT_ROOT, "capture_output": True, "text": True, "check": True}
    return {
        side: min(
            float(subprocess.run([sys.executable, "-W", "ignore", "-c", code.format(what)], **run).stdout)
            for _ in range(3)
        )
        for side, what in IMPORTS.items()
    }


def parcels(folder: Path, rows: int) -> Any:
    """So many labelled parcels in weekly files, and how they are found again."""
    from mlops_assets.ml.training.shards import Files

    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    start, each, paths = datetime(2020, 1, 6, tzinfo=UTC), rows // FILES, []
    for i in range(FILES):
        x = draw.normal(size=(each, NUMBERS)).astype(np.float32)
        depot = draw.integers(0, 12, each)
        sent = pl.Series(np.arange(each) * (6 * 86_400_000_000 // each)).cast(pl.Duration("us"))
        frame = pl.DataFrame(x, schema=FEATURES).with_columns(
            pl.Series("depot", [f"depot {c:02}" for c in range(12)])[depot].alias("depot"),
            (pl.lit(start + timedelta(weeks=i)) + sent).alias("sent"),
            pl.Series("delay", 8 * x[:, 0] * x[:, 1] + 4 * (depot == 3) + draw.normal(scale=6, size=each)),
        )
        frame = frame.with_columns(
            seen=pl.col("sent") + timedelta(hours=1), parcel=pl.col("sent").rank("ordinal")
        )
        paths.append(str(folder / f"{i:02}.parquet"))
        frame.write_parquet(paths[-1], row_group_size=50_000)
    return Files(tuple(paths), start + timedelta(weeks=FILES + 1))


def spec(rounds: int, **trainer: Any) -> Any:
    """A late-parcel model."""
    from mlops_assets.spec.model import ModelSpec

    given = {
        "rounds": rounds,
        "early_stopping_rounds": rounds,
        "categories": ["depot"],
        "cells_in_process": 10**12,
    }
    boosted = trainer.get("kind", "xgboost") == "xgboost"
    given |= {"parameters": {"max_depth": 8, "eta": 0.05}} if boosted else {}
    return ModelSpec.model_validate(
        {
            "name": "late_parcel",
            "owner": "parcels@example.org",
            "task": "classification",
            "feature_service": "parcel_v1",
            "prediction": {"table": "parcels", "key": ["parcel"], "time": "sent"},
            "label": {"column": "delay", "known_at": "seen", "above": 5},
            "calendar": {"cadence": "weekly", "start": "2020-01-06", "end": "2020-07-06"},
            "trainer": given | trainer,
            "gate": {"metric": "auc", "floors": {"auc": 0.5}},
        }
    )


def bare(paths: tuple[str, ...], rounds: int) -> bytes:
    """The same fit as somebody would write it: read, label, sort, encode, boost."""
    import xgboost
    from xgboost.callback import EarlyStopping

    rows = pl.concat([pl.read_parquet(path) for path in paths]).sort("sent", "parcel")
    rows = rows.with_columns(label=(pl.col("delay") > 5).cast(pl.Float32))
    codes = {value: float(i) for i, value in enumerate(rows["depot"].unique().sort())}
    code = pl.col("depot").replace_strict(codes, return_dtype=pl.Float32)
    x = rows.select(*FEATURES, code).to_numpy(order="fortran").astype(np.float32, order="C", copy=False)
    y, cut = rows["label"].to_numpy(), round(rows.height * 0.85)
    names = [*FEATURES, "depot"]
    train = xgboost.QuantileDMatrix(x[:cut], y[:cut], feature_names=names, nthread=2)
    validation = xgboost.QuantileDMatrix(x[cut:], y[cut:], feature_names=names, nthread=2, ref=train)
    chosen = {"objective": "binary:logistic", "eval_metric": "logloss", "tree_method": "hist", "seed": 0}
    booster = xgboost.train(
        {**chosen, "max_depth": 8, "eta": 0.05, "nthread": 2},
        train,
        rounds,
        evals=[(validation, "validation")],
        callbacks=[EarlyStopping(rounds=rounds)],
        verbose_eval=False,
    )
    return bytes(booster[: booster.best_iteration + 1].save_raw("ubj"))


def in_process(size: Size, folder: Path) -> dict[str, Any]:
    """Both sides in turns; each model must predict what the other does."""
    from mlops_assets.ml.training.fit import fit

    files = parcels(folder / "some", size.rows)
    sides: dict[str, Callable[[], Any]] = {
        "bare": lambda: bare(files.paths, size.rounds),
        "in_process": lambda: fit(files, spec(size.rounds), FEATURES).model,
    }
    small = parcels(folder / "warm", 8_000)
    bare(small.paths, 3)
    fit(small, spec(3), FEATURES)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for turn in range(size.turns):
        for name in sorted(sides, reverse=bool(turn % 2)):
            cpu, wall = time.process_time(), time.perf_counter()
            model = sides[name]()
            spent[name].append((time.process_time() - cpu, time.perf_counter() - wall))
            same_trees(model, sides, name)
    middle = {
        f"{name}_{what}_seconds": round(statistics.median(turn[i] for turn in turns), 3)
        for name, turns in spent.items()
        for i, what in enumerate(("cpu", "wall"))
    }
    return {
        **middle,
        "turns": {name: [[round(v, 2) for v in t] for t in turns] for name, turns in spent.items()},
    }


SEEN: dict[str, int] = {}


def same_trees(model: bytes, sides: dict[str, Any], name: str) -> None:
    """Stop where the two sides did not do the same work."""
    import xgboost

    SEEN[name] = hash(tuple(xgboost.Booster(model_file=bytearray(model)).get_dump()))
    if len(set(SEEN.values())) > 1:
        raise SystemExit(f"{' and '.join(sides)} made different trees: they are not the same fit")


@dataclass
class Tree:
    """CPU-seconds of this process and all below it, those included that have ended; Ray renames its processes as they work."""

    spent: dict[int, float] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    own: float = 0.0

    def look(self) -> None:
        import psutil

        for process in psutil.Process().children(recursive=True):
            try:
                with process.oneshot():
                    used, title = process.cpu_times(), " ".join(process.cmdline()[:1]) or process.name()
            except psutil.Error:
                continue
            self.spent[process.pid] = used.user + used.system
            if "IDLE" not in title or process.pid not in self.names:
                self.names[process.pid] = title.rpartition("/")[2].split(".")[0]

    def total(self) -> float:
        return sum(self.spent.values()) + time.process_time() - self.own

    def by_name(self) -> dict[str, float]:
        found = {"this process": time.process_time() - self.own}
        for pid, used in self.spent.items():
            found[self.names[pid]] = found.get(self.names[pid], 0.0) + used
        return found

    def follow(self, done: threading.Event) -> None:
        started = time.thread_time()
        while not done.wait(0.2):
            self.look()
        self.own += time.thread_time() - started


@contextmanager
def costed() -> Iterator[dict[str, Any]]:
    """CPU-seconds in all and by process, and wall seconds, of the block."""
    tree, done = Tree(), threading.Event()
    tree.look()
    before, by_name, started = tree.total(), tree.by_name(), time.perf_counter()
    thread = threading.Thread(target=tree.follow, args=(done,))
    thread.start()
    found: dict[str, Any] = {}
    yield found
    found["wall"] = round(time.perf_counter() - started, 3)
    done.set()
    thread.join()
    tree.look()
    found["cpu"] = round(tree.total() - before, 2)
    split = {name: used - by_name.get(name, 0.0) for name, used in tree.by_name().items()}
    found["split"] = {n: round(v, 2) for n, v in sorted(split.items(), key=lambda p: -p[1]) if v >= 0.05}


def on_ray(size: Size, folder: Path) -> dict[str, Any]:
    """A private Ray: what starting it costs, a task on it when it is warm, and full Ray Train."""
    import ray

    from resources.compute.compute import Compute

    reach = Compute(folder=str(folder / "training"))
    with costed() as init:
        reach.connect("local")
        time.sleep(3)
    figures = {
        "ray_init": init,
        **warm_task(size, folder, reach),
        **full_train(folder, reach),
        **many(size, folder, reach),
    }
    ray.shutdown()
    return figures


def warm_task(size: Size, folder: Path, reach: Any) -> dict[str, Any]:
    """How much longer a fit takes as a task than the task itself, once a first one has warmed the worker."""
    from mlops_assets.ml.training.fit import fit

    known_by = datetime(2021, 1, 1, tzinfo=UTC)
    files = type_of_files()(tuple(sorted(map(str, (folder / "some").glob("*.parquet")))), known_by)
    small = type_of_files()(tuple(sorted(map(str, (folder / "warm").glob("*.parquet")))), known_by)
    with costed() as cold:
        fit(small, spec(3, compute="local"), FEATURES, reach=reach)
    more, last = [], {}
    for _ in range(size.turns):
        with costed() as warm:
            fitted = fit(files, spec(size.rounds, compute="local"), FEATURES, reach=reach)
        here = fit(files, spec(size.rounds), FEATURES)
        last = warm
        more.append(beside_the_fit(warm["wall"], fitted) - beside_the_fit(here.seconds, here))
    return {
        "first_task": cold,
        "warm_task": last,
        "warm_task_more_seconds": {
            "median": round(statistics.median(more), 3),
            "least": round(min(more), 3),
            "most": round(max(more), 3),
        },
    }


def beside_the_fit(seconds: float, fitted: Any) -> float:
    """What is left of a fit's seconds without building the matrix and boosting, which are the same anywhere."""
    return seconds - sum(fitted.phases[name] for name in ("matrix", "boost"))


def warm_task_said(more: dict[str, float]) -> str:
    """What a warm task costs more than a fit in this process; a difference that noise turns negative is no cost."""
    among = f"{more['least']} to {more['most']} s in single turns"
    if more["least"] < 0:
        return f"a warm task costs no more than a fit in this process, as far as can be told here ({among})"
    return f"a warm task takes {more['median']} s more than a fit in this process ({among})"


def type_of_files() -> Any:
    from mlops_assets.ml.training.shards import Files

    return Files


def full_train(folder: Path, reach: Any) -> dict[str, Any]:
    """Ray Train with two workers on hardly any data: what is left is its fixed cost."""
    from mlops_assets.ml.training.fit import fit

    files = parcels(folder / "few", 8_000)
    found = {}
    for name in ("full_train_first", "full_train_again"):
        with costed() as cost:
            fit(files, spec(3, compute="local", workers=2, threads=1), FEATURES, reach=reach)
        found[name] = cost
    return found


def many(size: Size, folder: Path, reach: Any) -> dict[str, Any]:
    """One worker and two on many rows, a thread each, and one with as many threads as two have together."""
    from mlops_assets.ml.training.fit import fit

    files = parcels(folder / "many", size.many_rows)
    sides = {"one_worker": (1, 1), "one_worker_two_threads": (1, 2), "two_workers": (2, 1)}
    found: dict[str, Any] = {}
    for name, (workers, threads) in sides.items():
        with costed() as cost:
            fitted = fit(
                files,
                spec(size.many_rounds, compute="local", workers=workers, threads=threads),
                FEATURES,
                reach=reach,
            )
        found[f"{name}_wall_seconds"], found[f"{name}_cpu_seconds"] = cost["wall"], cost["cpu"]
        found[f"{name}_boost_seconds"] = round(fitted.phases["boost"], 3)
    return found


def table_of(figures: dict[str, Any]) -> str:
    """CPU and wall seconds of every side and step; below a step on Ray, the processes that the CPU time went to."""
    lines = [f"{'':<40}{'CPU s':>9}{'wall s':>9}"]
    lines += [_side(figures, side) for side in ("bare", "in_process")]
    for step in ("ray_init", "first_task", "warm_task", "full_train_first", "full_train_again"):
        lines.append(f"{step:<40}{figures[step]['cpu']:>9.2f}{figures[step]['wall']:>9.2f}")
        split = {} if step == "warm_task" else figures[step]["split"]
        lines += [
            f"  {name:<38}{used:>9.2f}" for name, used in sorted(split.items(), key=lambda pair: -pair[1])
        ]
    lines += [_side(figures, side) for side in ("one_worker", "one_worker_two_threads", "two_workers")]
    return "\n".join(lines)


def _side(figures: dict[str, Any], side: str) -> str:
    return f"{side:<40}{figures[f'{side}_cpu_seconds']:>9.2f}{figures[f'{side}_wall_seconds']:>9.2f}"


def show(figures: dict[str, Any], ratios: dict[str, float]) -> None:
    """The table on the screen."""
    print(f"\n{table_of(figures)}")
    print(f"imports, CPU s: {figures['import_cpu_seconds']}")
    print(warm_task_said(figures["warm_task_more_seconds"]))
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.3f}")
    print(f"{os.cpu_count()} cores")


if __name__ == "__main__":
    main()
