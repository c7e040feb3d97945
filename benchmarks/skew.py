"""What the skew proof and the serving log cost: a replay of logged flights, and predictions with and without a log.

Two weeks of real flights are made into a lake and materialised; the second week's flights are asked of the endpoint's
own code until there are enough cells, and logged. Then they are replayed twice: as they are, and with every value
altered, so that every cell needs a verdict. Predictions with and without the log are interleaved; what is compared is
the CPU time of the asking thread and of the whole process.
"""

import argparse
import hashlib
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.report import save
from mlops_assets.assets.skew import skew_metadata
from mlops_assets.spec.files import declared_specs
from mlops_assets.stages.served import code_of
from mlops_assets.stages.skew_replay import Replayed, replay
from mlops_assets.use_cases.flights import feature_tables, ingest
from mlops_assets.use_cases.flights.request import FlightRequest
from mlops_assets.use_cases.flights.tables import WEEKS
from resources.features.store import FeatureStoreResource
from resources.lake.lake import Lake
from resources.serving.code import Code
from resources.serving.live_models import LiveModels
from resources.serving.log import ServingLogResource
from resources.serving.log_writer import ServingLog
from resources.serving.ray_serve import Endpoint
from resources.settings import silence_usage_reports
from resources.state_folder import size_of

SERVICE = "flight_delay_v1"
WEEK_NAMES = ("2013-06-03", "2013-06-10")
BATCH = 1000
BLOCK = 200
LIMIT_S = 20.0
SCORER = "benchmarks.skew:Constant"
FIELDS = list(FlightRequest.model_fields)


class Constant:
    """Stands in for a model, so that what is measured is the log."""

    def __init__(self, content: bytes) -> None:
        self.score = float(content)

    def predict(self, frame: pl.DataFrame) -> np.ndarray:
        return np.full(frame.height, self.score)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1_000_000, help="cells that are replayed at least")
    parser.add_argument(
        "--predictions", type=int, default=2_000, help="single predictions timed on each side"
    )
    options = parser.parse_args()
    silence_usage_reports()
    with tempfile.TemporaryDirectory(prefix="skew-bench-") as folder:
        figures = measure(Path(folder), options.cells, options.predictions)
    for name, figure in figures.items():
        print(f"{name:<24}", ", ".join(f"{key} {value:,.6g}" for key, value in figure.items()))
    ratios = {
        "limit_vs_clean": LIMIT_S / figures["replay, clean"]["seconds"],
        "limit_vs_all_differ": LIMIT_S / figures["replay, all differ"]["seconds"],
        "predict_logged_vs_not": figures["one prediction"]["process ms, logged"]
        / figures["one prediction"]["process ms, not logged"],
        "ask_logged_vs_not": figures["one prediction"]["asking ms, logged"]
        / figures["one prediction"]["asking ms, not logged"],
    }
    print(save("skew", figures, {name: round(ratio, 3) for name, ratio in ratios.items()}))


def measure(folder: Path, cells: int, predictions: int) -> dict[str, dict[str, float]]:
    """Every figure, by what was measured."""
    lake = Lake(root=str(folder / "lake"))
    store = FeatureStoreResource(
        repository="mlops_assets.use_cases.flights.features", lake_root=lake.root, home=str(folder / "feast")
    )
    flights, moment = prepare(lake, store)
    asked = flights.sample(-(-cells // len(store.feature_columns(SERVICE))), with_replacement=True, seed=0)
    requests = [FlightRequest.model_validate(row) for row in asked.select(FIELDS).to_dicts()]
    publish(folder / "serving", moment)
    figures = {"serve and log": timed(lambda: serve(folder, store, requests))}
    figures["serve and log"]["bytes a request"] = size_of(folder / "serving_log") / len(requests)
    reading = ServingLogResource(folder=str(folder / "serving_log"))
    figures |= replays(reading, store, lake, len(requests))
    figures["one prediction"] = overhead(folder, store, requests[:predictions])
    return figures


def prepare(lake: Lake, store: FeatureStoreResource) -> tuple[pl.DataFrame, datetime]:
    """Two weeks of feature tables, online at their end; returns the second week's flights and that moment."""
    raw = ingest.tables()
    for name, back in feature_tables.LOOKBACK.items():
        table, column = {
            "weather": (raw.weather, "time_hour"),
            "schedule": (raw.schedule, "known_at"),
        }.get(name, (raw.flights, "scheduled_departure"))
        for week in WEEK_NAMES:
            span = WEEKS.partition(week)
            start, end = span.start, span.end
            known = ingest.in_week(table, column, start - back, end)
            lake.write(f"flights/features/{name}", getattr(feature_tables, name)(known, start, end), week)
    lake.write("flights/features/plane", feature_tables.plane(raw.planes))
    store.apply()
    span = WEEKS.partition(WEEK_NAMES[-1])
    start, end = span.start, span.end
    store.materialize(store.views(SERVICE), start, end)
    return ingest.in_week(raw.flights, "scheduled_departure", start, end), end


def declared(name: str) -> Code:
    """What the repository declares for flights, with a constant in the place of a model."""
    code = code_of(declared_specs()[name])
    return replace(code, names={**code.names, "scorer": frozenset({SCORER})}, scorer=Constant)


def publish(folder: Path, moment: datetime) -> None:
    """A deployed model that is no model."""
    path = folder / "constant.model"
    folder.mkdir()
    path.write_bytes(b"0.5")
    Endpoint(folder=str(folder)).publish(
        {
            "name": "flight_delay",
            "version": 1,
            "task": "classification",
            "model_path": str(path),
            "model_sha256": hashlib.sha256(b"0.5").hexdigest(),
            "scorer": SCORER,
            "feature_service": SERVICE,
            "rows": "mlops_assets.use_cases.flights.request:entity_rows",
            "request": "mlops_assets.use_cases.flights.request:FlightRequest",
            "time": "prediction_time",
            "moment": moment.isoformat(),
        }
    )


def serve(folder: Path, store: FeatureStoreResource, requests: list[FlightRequest]) -> None:
    """Ask for every flight in batches, until all of it is on disk."""
    log = ServingLog(folder / "serving_log")
    models = LiveModels(folder / "serving", store, declared, log)
    models.look()
    for first in range(0, len(requests), BATCH):
        models.predict(models.served["flight_delay"], requests[first : first + BATCH])
    log.close()


def replays(
    log: ServingLogResource, store: FeatureStoreResource, lake: Lake, requests: int
) -> dict[str, dict[str, float]]:
    """The whole of the asset's work on a clean log and on one whose every value was altered."""
    found: dict[str, Replayed] = {}

    def run(name: str, altered: bool) -> None:
        frame = log.read("flight_delay", requests)
        frame = alter(frame) if altered else frame
        found[name] = replay(frame, log.definitions("flight_delay"), store, lake)
        skew_metadata("flight_delay", found[name])

    figures = {}
    for name, altered in (("replay, clean", False), ("replay, all differ", True)):
        figures[name] = timed(lambda name=name, altered=altered: run(name, altered))
        figures[name] |= {"cells": found[name].compared.total(), "differing": found[name].cells.height}
    return figures


def alter(log: pl.DataFrame) -> pl.DataFrame:
    """The log with no value as it was served."""
    values = pl.col("^[a-z_]+__[a-z0-9_]+$").exclude("^__.*$", "^.*__timestamp$", "^.*__status$")
    return log.with_columns((values.fill_null(0.0).fill_nan(0.0) + 1.0) * 1.01)


def overhead(folder: Path, store: FeatureStoreResource, requests: list[FlightRequest]) -> dict[str, float]:
    """Milliseconds of CPU for one prediction, with and without a log, interleaved in blocks of two hundred.

    `process` has the writing of the files in it, `asking` is the thread that answers.
    """
    models = LiveModels(folder / "serving", store, declared)
    models.look()
    model = models.served["flight_delay"]
    spent: dict[str, list[float]] = defaultdict(list)
    for first in range(0, len(requests), BLOCK):
        block = requests[first : first + BLOCK]
        sides = ("logged", "not logged") if first // BLOCK % 2 else ("not logged", "logged")
        for side in sides:
            thread, process = time.thread_time(), time.process_time()
            models.log = log = ServingLog(folder / "other_log") if side == "logged" else None
            for request in block:
                models.predict(model, [request])
            spent[f"asking ms, {side}"].append((time.thread_time() - thread) / len(block) * 1e3)
            if log:
                log.close()
            spent[f"process ms, {side}"].append((time.process_time() - process) / len(block) * 1e3)
    return {name: statistics.median(values) for name, values in spent.items()}


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Wall and CPU seconds of some work, and the process's peak memory after it in MiB."""
    started, before = time.perf_counter(), time.process_time()
    work()
    return {
        "seconds": time.perf_counter() - started,
        "cpu seconds": time.process_time() - before,
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    from benchmarks import skew

    skew.main()
