"""One model that is promoted, approved, rolled back and brought new data, by the steps that the platform itself takes."""

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import resources.tracking.tracking
from mlops_assets.automation.decisions import DecisionError, decide, go_back
from mlops_assets.errors import WorkError
from mlops_assets.promotion import holds
from mlops_assets.promotion.approval import warranted
from mlops_assets.promotion.champion import ChampionError
from mlops_assets.promotion.following import reconcile
from mlops_assets.promotion.records import record_configuration, record_evaluated, record_trained
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.deploying import _make_champion
from mlops_assets.stages.judging import attempt_name
from mlops_assets.stages.served import code_of
from mlops_assets.stages.training_set import TrainingData
from resources.audit.log import CHANGES, Audit, Entry
from resources.features.service import DescribedService, DescribedView
from resources.features.vectors import OnlineVectors
from resources.lake.lake import Lake
from resources.records.attempts import Attempt
from resources.records.deployment import Deployment, deployment_in
from resources.records.documents import save_record
from resources.serving.live_models import LiveModels
from resources.serving.ray_serve import Endpoint
from resources.systems import Systems
from resources.tracking.tracking import Tracking
from resources.tracking.versions import FILE, SHA256, sha256
from tests import record_samples
from tests.changes.interleaving import Operation, cut_at_every_write, pause
from tests.changes.stand_in_mlflow import StandInMlflow
from tests.pumps.project import SPEC, WEEKS
from tests.resources.conftest import ENCODING

NAME = SPEC.name
BY_ADA = ModelSpec.model_validate(
    SPEC.model_dump() | {"promotion": {"mode": "approval", "approvers": ["ada"]}}
)
WEEK_NAMES = WEEKS.names()
REFUSALS = (ChampionError, DecisionError, holds.HoldError, WorkError)


class Vectors:
    """A feature store that answers every row with the same two features."""

    def of(self, use_case: str) -> "Vectors":
        return self

    def online_vectors(self, service: str, rows: pl.DataFrame, as_of: datetime) -> OnlineVectors:
        frame = rows.with_columns(queue=pl.lit(0.5), depot=pl.lit("north"))
        return OnlineVectors(frame, pl.DataFrame(), pl.DataFrame())

    def describe(self, service: str) -> DescribedService:
        return DescribedService(service, "d", ("pump",), (DescribedView("v", "d", ("queue", "depot")),))

    def request_fields(self, service: str) -> dict[str, type]:
        return {"pump": str}

    def feature_types(self, service: str) -> dict[str, pl.DataType]:
        return {"queue": pl.Float64(), "depot": pl.String()}


@cache
def models() -> tuple[bytes, ...]:
    """The bytes of small models, each unlike the others."""
    import xgboost

    draw = np.random.default_rng(0)
    data = xgboost.DMatrix(draw.random((50, 2)), draw.random(50), feature_names=["queue", "depot"])
    booster = xgboost.train({"max_depth": 1, "nthread": 1}, data, 1)
    booster.set_attr(encoding=ENCODING)
    made = []
    for number in range(100):
        booster.set_attr(number=str(number))
        made.append(bytes(booster.save_raw("ubj")))
    return tuple(made)


class World:
    """Registry, log, records, lake and endpoint of one model below one folder; every operation stops at its writes."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.registry = StandInMlflow(NAME, home / "registered")
        monkeypatch.setattr(resources.tracking.tracking, "client_of", lambda _: self.registry)
        self.tracking = Tracking(uri="http://stand-in", artifacts=str(home / "artifacts"), patience_s=0)
        self.audit = Audit(folder=str(home / "audit"))
        self.endpoint = Endpoint(folder=str(home / "serving"))
        self.live = LiveModels(home / "serving", Vectors(), lambda _: code_of(SPEC))
        self.lake = Lake(root=str(home / "lake"))
        self.operations: list[Operation] = []
        self.weeks = 0
        record_configuration(self.audit, SPEC, "ada", WEEKS.partition(WEEK_NAMES[0]).start)
        self.ingest()
        cut_at_every_write(monkeypatch, self.registry)

    def start(self, act: Any, *arguments: Any) -> Operation:
        """Begin an operation; it does nothing until it is told to."""
        operation = Operation(lambda: act(*arguments), REFUSALS)
        self.operations.append(operation)
        return operation

    @property
    def running(self) -> list[Operation]:
        """Operations that have not ended, oldest first."""
        return [operation for operation in self.operations if not operation.done]

    def finish(self) -> None:
        """Let everything that runs go on to its end, in turns."""
        while self.running:
            for operation in self.running:
                operation.step()

    def ingest(self) -> None:
        """A week of data, online at its end."""
        name = WEEK_NAMES[min(self.weeks, len(WEEK_NAMES) - 1)]
        self.weeks += 1
        self.lake.write(SPEC.prediction.table, pl.DataFrame({"pump": ["p"]}), name)
        self.endpoint.advance(WEEKS.partition(name).end)

    def promote(self) -> None:
        """A challenger is trained, judged against the champion of now, refitted and deployed."""
        self._deploy(SPEC, self._judged(SPEC))

    def approve(self) -> None:
        """A challenger that waits is approved by a person, refitted and deployed."""
        attempt = self._judged(BY_ADA)
        decide(BY_ADA, self._systems, "approved", attempt.challenger.version, "ada", "fine")
        self._deploy(BY_ADA, attempt)

    def roll_back(self, to: int | None = None) -> Entry:
        return go_back(self._systems, NAME, to, "lin", "too many alarms")

    def pause(self) -> None:
        holds.pause(self.audit, self.endpoint, None, "lin", "numbers are wrong")

    def pause_one(self) -> None:
        holds.pause(self.audit, self.endpoint, NAME, "lin", "its numbers are wrong")

    def resume(self) -> None:
        holds.resume(self.audit, self.endpoint, None, "lin", "numbers are right")

    def resume_one(self) -> None:
        holds.resume(self.audit, self.endpoint, NAME, "lin", "its numbers are right")

    def retire(self) -> None:
        holds.retire(self.audit, self.endpoint, NAME, "lin", "nobody asks it")

    def reinstate(self) -> None:
        holds.reinstate(self.audit, self.endpoint, NAME, "lin", "somebody asks it")

    def look_at_holds(self) -> bool:
        """What the sensor that reconciles does about the endpoint's notice."""
        return holds.tell_endpoint(self.audit, self.endpoint)

    @property
    def _systems(self) -> Systems:
        return Systems(lake=self.lake, tracking=self.tracking, endpoint=self.endpoint, audit=self.audit)

    def reconcile(self) -> list[str]:
        """One look of the sensor, which does not wait for a change that is under way."""
        return reconcile(self._systems, NAME, wait=False)

    def _judged(self, spec: ModelSpec) -> Attempt:
        week, champion = WEEK_NAMES[min(self.weeks, len(WEEK_NAMES)) - 1], self.tracking.champion(NAME)
        number = self._register("challenger")
        now = WEEKS.partition(week).end.isoformat()
        attempt = record_samples.attempt(
            number,
            week=week,
            now=now,
            verdict=f"Promoted: {number} is better",
            champion=champion and {"version": champion.number, "metrics": None},
            shown_better=True,
        )
        candidate = record_samples.challenger(version=number, week=week, now=now)
        save_record(self.lake, f"{NAME}/challenger", candidate)
        save_record(self.lake, attempt_name(spec, week), attempt)
        record_evaluated(self.audit, spec, attempt, {"launched_by": "sensor retrain"})
        return attempt

    def _deploy(self, spec: ModelSpec, attempt: Attempt) -> None:
        """What `deploy` does but for the fit."""
        warrant = warranted(spec, self.tracking, self.audit, attempt)
        version = self.tracking.version(
            NAME, self._register("refit", challenger=str(attempt.challenger.version))
        )
        now = datetime.fromisoformat(attempt.now)
        record_trained(self.audit, spec, version, {attempt.partition: "rows"}, now)
        data = TrainingData(self.lake, SPEC.prediction.table, [], attempt.partition, now, {}, "", {})
        _make_champion(spec, self._systems, warrant, version, data)

    def _register(self, kind: str, **tags: str) -> int:
        pause("register")
        content = models()[len(self.registry.versions)]
        labels = {
            SHA256: sha256(content),
            FILE: "model.ubj",
            "identity": sha256(content),
            "kind": kind,
            **tags,
        }
        return self.registry.register(content, "model.ubj", labels)

    @property
    def changes(self) -> list[Entry]:
        """Every change of the champion, oldest first."""
        return list(self.audit.entries(NAME, CHANGES))

    @property
    def published(self) -> Deployment | None:
        """The record that the endpoint follows."""
        path = Path(self.endpoint.folder) / f"{NAME}.json"
        return deployment_in(path) if path.exists() else None

    def answering(self) -> tuple[int, datetime]:
        """Version and moment that the endpoint answers with once it has looked."""
        self.live.look()
        assert not self.live.problems, self.live.problems
        model = self.live.served[NAME]
        return int(model.record.version), self.live.now(model)

    def everywhere(self) -> dict[str, int | None]:
        """Who is champion, by whom one asks."""
        champion, record = self.tracking.champion(NAME), self.published
        return {
            "log": self.changes[-1].version,
            "registry": champion and champion.number,
            "record": record and int(record.version),
            "endpoint": self.answering()[0],
        }
