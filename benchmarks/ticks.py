"""What a tick of a sensor costs, and whether that depends on how many models and partitions there are.

Fifty models over up to 2,000 partitions each: their reports lie in a real lake under real manifests (one of each kind is
written by the lake, the others are links to it), their runs in a real instance of Dagster. Every sensor is evaluated in
this process, so what is timed is its own work. `quiet`: everything is reported on; `new`: one partition waits;
`record lost`: the first tick after the record of what is settled was deleted. The sensor that ingests is timed over as
many partitions of its own (`benchmarks/ingest_ticks.py`). Then the code of all these models is
loaded in a process of its own, and the lineage page is opened in a browser.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from benchmarks.finished_runs import add_runs
from benchmarks.ingest_ticks import ingest_ticks
from benchmarks.report import save
from docs import screenshots
from mlops_assets.automation.sensors import retrain_sensor, score_sensor
from mlops_assets.local.servers import prepare_dagster_home
from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.files import declared_specs
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import online_key
from mlops_assets.stages.online import BASIS
from resources.audit.log import Audit
from resources.clock import Clock
from resources.lake.lake import Lake
from resources.lake.names import file_name, manifest_name
from resources.settings import PROJECT_ROOT, Settings, settings
from resources.storage.local import STEADY_S

MODELS, PARTITIONS = (1, 10, 50), (200, 1000, 2000)
TIMES = 7
MODEL = "flight_delay"
END = datetime(2014, 1, 6, tzinfo=UTC)
CONTENT = "a" * 64
PARTS = ("performance", "drift")
SENSORS: dict[str, Callable[[ModelSpec], dg.SensorDefinition]] = {
    "score": score_sensor,
    "retrain": retrain_sensor,
}
LOAD = """
import json, time
wall, cpu = time.perf_counter(), time.process_time()
from mlops_assets.definitions import defs
repository = defs.get_repository_def()
print(json.dumps({"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu,
    "assets": len(list(repository.assets_defs_by_key))}))
"""
PACKAGES = ("mlops_assets", "resources", "feature_repo")
OPENED = re.compile("^(training_set|model|evaluation|deployment|predictions|performance|drift|card)$")
"""Any box of an opened model: of those, only what lies within the window is drawn."""

MODEL_FOLDER = "mlops_assets/use_cases/flights/models"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, nargs="*", default=PARTITIONS)
    parser.add_argument("--no-page", action="store_true", help="leave out the code's loading and the page")
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    for count in options.partitions:
        with tempfile.TemporaryDirectory(prefix="ticks-") as folder:
            figures[str(count)] = ticks(World(Path(folder), count))
        with tempfile.TemporaryDirectory(prefix="ticks-") as folder:
            figures[str(count)]["ingest"] = ingest_ticks(Path(folder), count)
            print(f"{count} partitions: {json.dumps(figures[str(count)])}", flush=True)
    if not options.no_page:
        with tempfile.TemporaryDirectory(prefix="ticks-") as folder:
            figures["code"] = page(Path(folder))
            print(json.dumps(figures["code"]))
    print(save("ticks", figures, ratios(figures)))


class World:
    """A state in which every partition of every model has been ingested, scored and reported on."""

    def __init__(self, home: Path, partitions: int):
        self.where = settings({"MLOPS_HOME": str(home)})
        self.lake = Lake(root=self.where.lake, state=str(home))
        audit = Audit(folder=str(home / "audit"))
        self.given = {"lake": self.lake, "audit": audit, "clock": Clock()}
        self.specs = [_spec(f"m{number:02d}", partitions) for number in range(max(MODELS))]
        self.names = _calendar(partitions).names(END)
        self._fill()
        prepare_dagster_home(self.where)
        self.instance = dg.DagsterInstance.get()
        for spec in self.specs:
            sensor = f"score_{spec.name}_when_features_arrive"
            add_runs(self.instance, f"{spec.name}_partition", sensor, self.names, CONTENT[:16])

    def _fill(self) -> None:
        table = self.specs[0].prediction.table
        self._linked(table, pl.DataFrame({"row": [1]}), {})
        report = {"scored": [1000], self.specs[0].gate.metric: [0.45], "model_version": [1]}
        for spec in self.specs:
            notes = {BASIS: CONTENT, "reference metric": 0.45, "prediction_psi": 0.01}
            for part in PARTS:
                self._linked(f"{spec.name}/{part}", pl.DataFrame(report), notes)
        self.lake.write_json(online_key(self.specs[0].use_case), dict.fromkeys(self.names, CONTENT))

    def _linked(self, table: str, frame: pl.DataFrame, notes: dict[str, Any]) -> None:
        """A table of which the lake writes the first partition; the files of the others are links to that one's."""
        first = self.names[0]
        self.lake.write(table, frame, first, notes=notes)
        for named in (file_name, manifest_name):
            source = self.lake.storage.at(named(table, first))
            for name in self.names[1:]:
                os.link(source, self.lake.storage.at(named(table, name)))

    def one_more_is_ingested(self) -> None:
        """The newest partition's features change, so that its reports are due."""
        self.lake.write_json(
            online_key(self.specs[0].use_case),
            {**dict.fromkeys(self.names, CONTENT), self.names[-1]: "b" * 64},
        )

    def forget(self) -> None:
        """Delete what ticks noted."""
        for spec in self.specs:
            shutil.rmtree(Path(self.lake.root) / spec.name / "ticks", ignore_errors=True)

    def tick(self, spec: ModelSpec, make: Callable[[ModelSpec], dg.SensorDefinition]) -> float:
        """Seconds of one evaluation."""
        sensor = make(spec)
        with dg.build_sensor_context(self.instance, sensor_name=sensor.name, resources=self.given) as context:
            begun = time.perf_counter()
            sensor(context)
            return time.perf_counter() - begun


def _spec(name: str, partitions: int) -> ModelSpec:
    return declared_specs()[MODEL].model_copy(update={"name": name, "calendar": _calendar(partitions)})


def _calendar(partitions: int) -> Calendar:
    """So many days up to the end of the worked example."""
    start = (END - timedelta(days=partitions)).date()
    return Calendar(cadence="daily", start=start, end=END.date())


def ticks(world: World) -> dict[str, Any]:
    """Seconds a tick by state, sensor and number of models, and of a round of all their sensors."""
    time.sleep(STEADY_S)
    world.forget()
    first = {name: world.tick(world.specs[-1], make) for name, make in SENSORS.items()}
    for spec in world.specs:
        world.tick(spec, score_sensor)
    figures: dict[str, Any] = {"record lost": _rounded(first), "quiet": _round(world)}
    world.one_more_is_ingested()
    return figures | {"new": _round(world)}


def _round(world: World) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for count in MODELS:
        specs = world.specs[:count]
        each = {
            name: statistics.median(
                world.tick(spec, make) for spec in specs for _ in range(max(1, TIMES // count))
            )
            for name, make in SENSORS.items()
        }
        found[str(count)] = _rounded(each)
    return found


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in seconds.items()}


def page(home: Path) -> dict[str, Any]:
    """Loading the code of all models, and opening the lineage of them: of the groups, and of one model in it."""
    where = settings({"MLOPS_HOME": str(home / "state")})
    project = _project(home)
    environment = {**os.environ, "MLOPS_HOME": str(where.home), "PYTHONPATH": str(project)}
    command = [sys.executable, "-W", "ignore", "-c", LOAD]
    done = subprocess.run(command, env=environment, cwd=project, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the code of {max(MODELS)} models does not load:\n{done.stderr[-3000:]}")
    loaded = json.loads(done.stdout.splitlines()[-1])
    os.environ["PYTHONPATH"] = str(project)
    return {"load": {k: round(v, 2) for k, v in loaded.items()}, **_opened(where, project / "workspace.yaml")}


def _project(home: Path) -> Path:
    """A copy of this project with a folder for each model beside its own."""
    project = home / "project"
    for name in PACKAGES:
        shutil.copytree(PROJECT_ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    source = (project / MODEL_FOLDER / MODEL / "defs.yaml").read_text()
    for number in range(max(MODELS)):
        folder = project / MODEL_FOLDER / f"m{number:02d}"
        folder.mkdir()
        (folder / "defs.yaml").write_text(source.replace(f"name: {MODEL}\n", f"name: m{number:02d}\n"))
    use_case = (project / MODEL_FOLDER).parent / "use_case.yaml"
    begins = _calendar(max(PARTITIONS)).start
    daily = re.sub(
        r"cadence: weekly, start: [0-9-]+", f"cadence: daily, start: {begins}", use_case.read_text()
    )
    use_case.write_text(daily)
    where = {"module_name": "mlops_assets.definitions", "working_directory": str(project)}
    (project / "workspace.yaml").write_text(json.dumps({"load_from": [{"python_module": where}]}))
    return project


def _opened(where: Settings, workspace: Path) -> dict[str, float]:
    last = f"m{max(MODELS) - 1:02d}"
    with screenshots.webserver(where, workspace) as address, screenshots.browser(1500, 2600) as browser:
        begun = time.perf_counter()
        browser.goto(f"{address}/asset-groups")
        browser.get_by_text(last, exact=True).first.wait_for(timeout=120_000)
        groups = time.perf_counter()
        browser.goto(screenshots.lineage_address(address, last))
        browser.get_by_text(OPENED).first.wait_for(timeout=120_000)
        opened = time.perf_counter()
    return {"page_s": round(groups - begun, 2), "page_of_a_model_s": round(opened - groups, 2)}


def ratios(figures: dict[str, Any]) -> dict[str, float]:
    """A tick with the most partitions to one with the fewest, and with the most models to one with one: 1 is flat."""
    counts = sorted((key for key in figures if key != "code"), key=int)
    few, many, models = figures[counts[0]], figures[counts[-1]], [str(count) for count in MODELS]
    found = {}
    for state in ("quiet", "new"):
        for sensor in SENSORS:
            of_few, of_many, of_one = (
                part[state][count][sensor]
                for part, count in ((few, models[-1]), (many, models[-1]), (many, models[0]))
            )
            found[f"{state}_{sensor}_by_partitions"] = round(of_many / of_few, 2)
            found[f"{state}_{sensor}_by_models"] = round(of_many / of_one, 2)
    for state, seconds in many["ingest"].items():
        found[f"{state.replace(' ', '_')}_ingest_by_partitions"] = round(seconds / few["ingest"][state], 2)
    return found


if __name__ == "__main__":
    main()
