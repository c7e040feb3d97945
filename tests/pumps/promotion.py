"""The pumps' model from training to promotion, by its own assets, over a state folder of a test's own."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.assets.deployment import deployment
from mlops_assets.assets.evaluation import evaluation
from mlops_assets.assets.model import model
from mlops_assets.automation.decisions import approve, decision_jobs, go_back
from mlops_assets.automation.reconciling import reconcile_sensor
from mlops_assets.spec.model import ModelSpec
from resources.audit.log import Entry
from resources.lake.lake import Lake
from resources.systems import Systems
from resources.tracking.client import client_of
from tests.flights.shortened import NEVER_REJECTED
from tests.parts import parts
from tests.pumps.project import SPEC, WEEKS, checks, states

NAME = SPEC.name
NAMES = WEEKS.names()
FIRST = 5
PASSES = NEVER_REJECTED["flight_delay"]
STAGES = {"model": model, "evaluation": evaluation, "deployment": deployment}
OUT_OF_REACH = {"metric": "log_loss", "floors": {"auc": 0.999}}


def spec(**changes: Any) -> ModelSpec:
    return ModelSpec.model_validate(SPEC.model_dump() | {"gate": PASSES} | changes)


AUTOMATIC = spec()
BY_ADA = spec(promotion={"mode": "approval", "approvers": ["ada", "lin"]})


class Project:
    """The model's own assets over one state folder, with as many weeks as were added."""

    def __init__(self, home: Path):
        self.home = home
        self.parts = parts().resources(home)
        self.lake, self.tracking = self.parts["lake"], self.parts["tracking"]
        self.endpoint, self.audit = self.parts["endpoint"], self.parts["audit"]

    def make(self, given: ModelSpec, *stages: str, fails: bool = False) -> dg.ExecuteInProcessResult:
        wanted = [STAGES[name](given) for name in stages or STAGES]
        done = dg.materialize(wanted, resources=self.parts, raise_on_error=not fails)
        assert done.success is not fails
        return done

    def said(self, given: ModelSpec, *stages: str) -> str:
        """What the deployment's page says of the promotion."""
        events = self.make(given, *stages).asset_materializations_for_node(f"{NAME}__deployment")
        return str(events[0].metadata["promotion"].value)

    def decide(self, job: str, **config: Any) -> dg.ExecuteInProcessResult:
        defs = dg.Definitions(jobs=decision_jobs(lambda: {NAME: BY_ADA}), resources=self.parts)
        op = {"roll_back_champion": "roll_back"}.get(job, job.split("_")[0])
        run_config = {"ops": {op: {"config": {"model": NAME, **config}}}}
        return defs.resolve_job_def(job).execute_in_process(run_config=run_config, raise_on_error=False)

    def approve(self, version: int, by: str = "ada", reason: str = "looks right") -> int:
        return approve(BY_ADA, Systems.of(self.parts), version, by, reason).number

    def back(self, to: int | None = None) -> Entry:
        return go_back(Systems.of(self.parts), NAME, to, "lin", "too many alarms")

    @property
    def champion(self) -> int | None:
        found = self.tracking.champion(NAME)
        return found and found.number

    @property
    def log(self) -> list[tuple[str, int | None]]:
        return [(entry.kind, entry.version) for entry in self.audit.entries()]


def add_week(lake: Lake, name: str, joined: bool = True) -> None:
    """Ingest one week; `joined` writes its training set too."""
    span = WEEKS.partition(name)
    rows = checks(lake, span)
    lake.write(SPEC.prediction.table, rows, name)
    if not joined:
        return
    known = states(lake, span).with_columns(checked_at=pl.col("event_timestamp") + timedelta(hours=1))
    frame = rows.join(known.drop("event_timestamp"), on=["pump", "checked_at"])
    notes = {"features": ["vibration", "score"], "feature definitions": "pumps-1"}
    lake.write(f"{NAME}/training_set", frame, name, notes=notes)


def ingested(home: Path) -> Path:
    """The state folder with five weeks and an empty registry."""
    project = Project(home)
    for name in NAMES[:FIRST]:
        add_week(project.lake, name)
    client_of(project.tracking.uri)
    return project.home


def copied(home: Path, folder: Path) -> Project:
    """A project over a copy of a state folder."""
    return Project(parts().copy(home, folder / "home"))


def tick(project: Project) -> str:
    """What the sensor that reconciles says of one look."""
    watched = {name: project.parts[name] for name in ("tracking", "endpoint", "audit")}
    with dg.build_sensor_context(resources=watched) as context:
        found = reconcile_sensor(lambda: {NAME: AUTOMATIC}).evaluate_tick(context)
    return str(found.skip_message)
