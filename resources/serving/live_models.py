"""The models an endpoint answers with: loaded from deployment records, followed while it runs, swapped whole.

A record is a JSON file, so that the process that serves needs neither Dagster nor the registry, and a promotion reaches
it by replacing one small file. It is data: which code serves a model is asked from the repository by the model's name.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pydantic

from resources.clock import CLOCKS_DIFFER, Clock, wall
from resources.features.pushed_moments import PushedMoments
from resources.features.service import DescribedService
from resources.features.vectors import OnlineVectors
from resources.records.deployment import Deployment, deployment_in
from resources.records.reader import RecordError
from resources.records.split import Split
from resources.serving.answers import finite, plain, with_vectors
from resources.serving.code import Code, Declared
from resources.serving.explanations import explained
from resources.serving.fast.compiled import FastModel, by_frames, compiled, vectors_by_frames
from resources.serving.holds import Notice, readable_notice
from resources.serving.http.forms import default_request, example
from resources.serving.loading import scorer_of, vouched
from resources.serving.log import ServedBatch
from resources.serving.parts import Answered, Copied, Features, Log, Scorer, Stores
from resources.serving.reached import reached, reached_file
from resources.serving.request_ids import RequestIds
from resources.serving.splits import splits_in
from resources.serving.unseen_categories import UnseenCategories
from resources.telemetry.trace_ids import by_row

LOG = logging.getLogger(__name__)
RETRY_AFTER_S = 15.0


@dataclass(frozen=True)
class Served:
    """One model as it answers now."""

    record: Deployment
    scorer: Scorer
    rows: Callable[[pl.DataFrame], pl.DataFrame]
    request: type[pydantic.BaseModel]
    service: DescribedService
    features: Features
    since: datetime
    use_case: str = ""
    fast: FastModel | None = None

    @cached_property
    def views(self) -> tuple[str, ...]:
        """The names of the views that it reads."""
        return tuple(view.name for view in self.service.views)


class LiveModels:
    """Every deployed model of a folder of records; reading never waits for a load."""

    def __init__(
        self,
        folder: Path,
        features: Stores,
        declared: Declared,
        log: Log | None = None,
        clock: Clock | None = None,
        sides: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self._sides = sides or {}
        self.clock = clock or Clock()
        self.declared = declared
        self.features = features
        self.log = log
        self.copied: Callable[[Copied], None] | None = None
        self.pushed = PushedMoments(folder / "pushed")
        self.unseen = UnseenCategories()
        self._reached: Mapping[str, datetime | None] = {}
        self.held = Notice()
        self.splits: Mapping[str, Split] = {}
        self.served: Mapping[str, Served] = {}
        self.problems: Mapping[str, str] = {}
        self._request_ids = RequestIds()
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}
        self._closed = threading.Event()

    def follow(self, every_s: float = 1.0) -> threading.Thread:
        """Look at the records now and then every second, in a thread of its own."""
        thread = threading.Thread(target=self._follow, args=(every_s,), name="follow-records", daemon=True)
        thread.start()
        return thread

    def _follow(self, every_s: float) -> None:
        while not self._closed.is_set():
            try:
                self.look()
            except Exception:
                LOG.exception("looking at the deployment records in %s failed", self.folder)
            self._closed.wait(every_s)

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def moment(self, use_case: str = "") -> datetime | None:
        """Now of a use case's online store: the newest moment that a model of it is served at; None before the first one.

        Where one is asked by the wall clock, that is now.
        """
        served = self._of(use_case)
        if any(by_the_wall_clock(model) for model in served):
            return self.clock.now()
        return max((self._online(model) for model in served), default=None)

    def _of(self, use_case: str) -> list[Served]:
        """The models of a use case; of all where none is named."""
        return [model for model in self.served.values() if use_case in ("", model.use_case)]

    def asked_by_the_wall_clock(self, views: Iterable[str], use_case: str = "") -> datetime | None:
        """Now by the wall clock, where a model that reads one of these views is asked by it; else None."""
        names = set(views)
        reading = (m for m in self._of(use_case) if not names.isdisjoint(v.name for v in m.service.views))
        return self.clock.now() if any(by_the_wall_clock(model) for model in reading) else None

    def ingested(self, use_case: str = "") -> datetime | None:
        """How far a use case's data that is online was ingested; pushes do not move it. None before the first ingestion."""
        moments = [reached(self.folder, use_case), *(model.record.moment for model in self._of(use_case))]
        return max((moment for moment in moments if moment), default=None)

    def look(self) -> None:
        """Take up records that are new or changed, drop models that are retired or whose record is gone, see what was pushed."""
        self.pushed.look()
        self.held = readable_notice(self.folder) or self.held
        self.splits = splits_in(self.folder, self.splits, self._sides)
        paths = [path for path in sorted(self.folder.glob("*.json")) if path.name[0] != "."]
        there = {path.stem: path for path in paths if path.stem not in self.held.retired}
        self._seen = {name: mark for name, mark in self._seen.items() if name in there}
        self._reached = {use_case: reached(self.folder, use_case) for use_case in self._reached}
        for name in set(self.served) - set(there):
            LOG.warning("model %s is withdrawn", name)
        self.served = {name: model for name, model in self.served.items() if name in there}
        self.problems = {name: text for name, text in self.problems.items() if name in there}
        for name, path in there.items():
            if self._is_due(name, path):
                self._take_up(name, path)

    def _is_due(self, name: str, path: Path) -> bool:
        try:
            stat = path.stat()
        except FileNotFoundError:
            return False
        mark, tried = (stat.st_mtime_ns, stat.st_ino), time.monotonic()
        before, last = self._seen.get(name, (None, 0.0))
        if mark == before and not (name in self.problems and tried - last > RETRY_AFTER_S):
            return False
        self._seen[name] = (mark, tried)
        return True

    def _take_up(self, name: str, path: Path) -> None:
        old = self.served.get(name)
        try:
            record = deployment_in(path)
            new = replace(old, record=record) if old and old.record.same_model(record) else self._load(record)
        except Exception as error:
            consequence = f"version {old.record.version} keeps serving" if old else "the model is not served"
            self.problems = {**self.problems, name: f"{type(error).__name__}: {error} ({consequence})"}
            LOG.exception("record %s cannot be served; %s", path, consequence)
            return
        self.served = {**self.served, name: new}
        self.problems = {other: text for other, text in self.problems.items() if other != name}
        LOG.warning("model %s answers with version %s", name, record.version)

    def _load(self, record: Deployment) -> Served:
        code = vouched(self.declared, record)
        return self._warmed(self._served(record, code, scorer_of(code, record, self.folder)))

    def unscored(self, record: Deployment) -> Served:
        """A version as requests to it are read and answered, its model being in another process."""
        return self._served(record, vouched(self.declared, record), None)

    def _served(self, record: Deployment, code: Code, scorer: Any) -> Served:
        features = self.features.of(code.use_case)
        request = code.named("request", record.request) or default_request(record, features)
        if record.time in request.model_fields:
            raise RecordError(
                f"the request model {record.request} has the field {record.time!r}, which is prediction.time: the endpoint "
                "itself says when a prediction is made; rename the field or leave it out"
            )
        model = Served(
            record=record,
            scorer=scorer,
            rows=code.named("rows", record.rows) or (lambda rows: rows),
            request=request,
            service=features.describe(record.feature_service).with_columns(record.columns),
            features=features,
            since=wall(),
            use_case=code.use_case,
        )
        self._reached = {**self._reached, code.use_case: reached(self.folder, code.use_case)}
        return model

    def alone(self, record: Deployment) -> Served:
        """One model by its record, published or not, with what was pushed by now; the others are not looked at."""
        self.pushed.look()
        return self._load(record)

    def _warmed(self, model: Served) -> Served:
        """The model, compiled, after it answered one request: the first real one does not wait for imports and connections."""
        try:
            request = model.request.model_validate(example(model.request))
        except pydantic.ValidationError as error:
            LOG.warning("%s is not warmed, its request has no valid example: %s", model.record.name, error)
            return model
        now = self.now(model)
        self._score(model, [request], now)
        return replace(model, fast=compiled(model, request, now))

    def now(self, model: Served, arrived: datetime | None = None) -> datetime:
        """The moment as of which a model answers: the end of the newest ingested data, or a later push to its views.

        By the wall clock it is when the request `arrived`. An event that another machine, its clock a little ahead, has
        pushed for a later moment counts already: it has replaced the value of now.
        """
        pushed = self.pushed.newest_of(model.views, model.use_case)
        if by_the_wall_clock(model):
            at = arrived or self.clock.now()
            return pushed if pushed and at < pushed <= at + CLOCKS_DIFFER else at
        online = self._online(model)
        return max(online, pushed or online)

    def _online(self, model: Served) -> datetime:
        """Now of the online store, as its own file says or, if that is later, a record of an earlier release."""
        known = [moment for moment in (self._reached.get(model.use_case), model.record.moment) if moment]
        if not known:
            raise RecordError(
                f"{reached_file(self.folder, model.use_case)} is missing, so no moment is known as of which {model.record.name} "
                f"could answer: materialize the asset features/online of its use case"
            )
        return max(known)

    def now_of_view(self, view: str, use_case: str = "") -> datetime | None:
        """The latest moment that the models which read a view have reached; None where there is neither model nor push."""
        reading = [m for m in self._of(use_case) if view in {v.name for v in m.service.views}]
        moments = [self.pushed.newest([view], use_case), *(self.now(model) for model in reading)]
        return max((moment for moment in moments if moment), default=None)

    def _score(self, model: Served, requests: Sequence[pydantic.BaseModel], now: datetime) -> Answered:
        scores = (model.fast and model.fast.answered(requests, now)) or by_frames(model, requests, now)
        finite(scores.scores)
        return scores

    def predict(
        self,
        model: Served,
        requests: Sequence[pydantic.BaseModel],
        with_features: bool = False,
        arrived: datetime | None = None,
        with_explanations: bool = False,
    ) -> list[dict[str, Any]]:
        """One answer a request, in order: the model's number, its version, the moment of the features and an id.

        What was served goes to the log, under the same ids. `arrived` is when the requests came, by this endpoint's clock.
        """
        served_at, now = self.begun(model, arrived)
        scores = self._score(model, requests, now)
        answers = self.answers_of(model, scores, now, served_at, with_features, with_explanations)
        if self.splits and self.copied:
            self.copied(Copied(model.record, requests, scores.vectors, now, served_at, answers))
        return answers

    def begun(self, model: Served, arrived: datetime | None = None) -> tuple[datetime, datetime]:
        """What time it is as features are about to be read, and the moment as of which they are."""
        return wall(), self.now(model, arrived)

    def vectors(self, model: Served, requests: Sequence[pydantic.BaseModel], now: datetime) -> OnlineVectors:
        """Features alone, by frames."""
        return vectors_by_frames(model, requests, now)

    def answers_of(
        self,
        model: Served,
        result: Answered,
        now: datetime,
        served_at: datetime,
        with_features: bool = False,
        with_explanations: bool = False,
    ) -> list[dict[str, Any]]:
        """Answers of what was found as of `now`, one a row, logged."""
        vectors, scores, record = result.vectors, result.scores, model.record
        ids = [self._request_ids() for _ in range(len(scores))]
        if self.log:
            facts = record.name, record.version, model.service, now, served_at, ids
            self.log.append(ServedBatch(*facts, vectors, scores, traces=by_row(len(ids))))
        answers = plain(record, scores, now, ids)
        if result.unseen:
            answers = self.unseen.answers_with(record.name, result.unseen, answers)
        if with_explanations:
            answers = explained(model.scorer, vectors.frame, answers)
        if with_features:
            answers = with_vectors(answers, vectors.frame.select(*model.service.features, *record.columns))
        return answers


def by_the_wall_clock(model: Served) -> bool:
    """Whether a request to a model is answered as of its arrival."""
    return model.record.clock == "wall"
