"""Runs and model versions in MLflow: every fit logged once, every version registered once, promotion under a lock.

Everything is found again by an identity derived from its content, so a process that was killed ends with the same runs.
"""

import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import polars as pl

from resources.addresses import revealed, shown
from resources.resource import Resource
from resources.storage.locks import file_lock
from resources.tracking import registration
from resources.tracking.client import client_of, download, is_database, local_path, reachable
from resources.tracking.fits import FitRecord, Kind, attach, find_run, in_use, log, quotable, sweep
from resources.tracking.model_folder import local_file
from resources.tracking.outage import TrackingAwayError, patient
from resources.tracking.registration import Registration, create_version, link_model
from resources.tracking.retention import retire
from resources.tracking.searches import TrialRecord, close_search, log_trial, open_search
from resources.tracking.spool import Spool, deliver_all
from resources.tracking.versions import TrackingError, Version, sha256, version_of

__all__ = ["Kind", "Tracking", "TrackingAwayError", "TrackingError", "TrialRecord", "Version"]
CHALLENGER, CHAMPION, PREVIOUS, ANCHOR = "challenger", "champion", "previous", "audit_log"


class Tracking(Resource):
    """MLflow's tracking and registry at `uri` (SQLite or a server), artifacts of new experiments under `artifacts`.

    A server may be away for `patience_s`: every call waits so long and starts over. What is logged lies in `spool`
    (empty: beside the artifacts) until MLflow has it, also when this process is killed; with `shared`, there for all machines.
    """

    uri: str
    artifacts: str
    spool: str = ""
    shared: str = ""
    patience_s: float = 300.0

    @property
    def address(self) -> str:
        """Where MLflow is, without user and password: MLflow takes those from its own variables."""
        return reachable(revealed(self.uri))

    @contextmanager
    def during(self, log: Any, in_run: bool) -> Iterator[Self]:
        """Deliver what a killed run left, each time a run begins."""
        self.deliver()
        yield self

    def deliver(self) -> None:
        """Deliver what lies in the spool, without waiting for a server that is away; what stays there is told."""
        deliver_all(self._spool, self.at_once._deliver_fit, self.at_once._deliver_registration)

    @property
    def at_once(self) -> "Tracking":
        """The same MLflow, for who does not wait for a server that is away."""
        return self.model_copy(update={"patience_s": 0})

    def log_fit(
        self,
        name: str,
        fit_model: bytes,
        *,
        kind: Kind,
        identity: str,
        params: Mapping[str, Any],
        history: Mapping[str, list[float]],
        metrics: Mapping[str, float | None],
        tags: Mapping[str, str],
        example: pl.DataFrame,
        file: str,
        artifacts: Mapping[str, bytes] | None = None,
    ) -> str:
        """Log one fit as a run with a logged model, and return the run's id.

        A finished run of the same identity and kind is returned instead; one that a killed process left half
        logged is deleted and logged anew. `history` is a value a round, `artifacts` are files by name, `file` names the model's own.
        """
        record = FitRecord(
            *(kind, identity, fit_model, params, history, metrics, tags, example, artifacts or {}),
            logged_at=_now(),
            file=file,
        ).plain()
        with self._spool.holding(self._spool.put_fit(name, record)):
            return self._deliver_fit(name, record)

    @patient
    def find_run(self, name: str, kind: Kind, identity: str) -> str | None:
        """Id of the finished run with this identity, or None."""
        experiment = self._client.get_experiment_by_name(name)
        return find_run(self._client, in_use(experiment), kind, identity) if experiment else None

    @patient
    def open_search(
        self, name: str, identity: str, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        """Id of the parent run of a hyperparameter search, made once an identity."""
        with self._lock(name):
            return open_search(self._client, self._experiment(name), identity, params, tags)

    @patient
    def log_trial(self, name: str, parent: str, record: TrialRecord) -> str:
        """Log one trial of a search as a nested run, once, and return its id."""
        with self._lock(name):
            return log_trial(self._client, self._experiment(name), parent, record)

    @patient
    def close_search(
        self,
        parent: str,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Mapping[str, bytes],
    ) -> None:
        """End a search's parent run with what was found."""
        close_search(self._client, parent, metrics, tags, artifacts)

    def register(
        self, name: str, run_id: str, identity: str, tags: Mapping[str, str] | None = None
    ) -> Version:
        """Make the run's model a version of `name`, or return the version that has this identity already."""
        registration = Registration(name, run_id, identity, {k: str(v) for k, v in (tags or {}).items()})
        with self._spool.holding(self._spool.put_registration(registration, _now())):
            return self._deliver_registration(registration)

    @patient
    def version(self, name: str, number: int) -> Version:
        """One version by its number."""
        return registration.version(self._client, name, number)

    @patient
    def versions(self, name: str) -> list[Version]:
        """All versions of a model, oldest first; none where the model was never registered."""
        versions, token = [], None
        while True:
            page = self._client.search_model_versions(f"name = '{quotable(name)}'", 200, page_token=token)
            versions += [version_of(v) for v in page]
            token = page.token
            if not token:
                return sorted(versions, key=lambda v: v.number)

    @patient
    def models(self) -> list[str]:
        """The names of all registered models, sorted."""
        return [model.name for model in registration.models_of(self._client)]

    def undelivered(self) -> int:
        """How many fits and registrations lie in the spool, which MLflow does not have yet."""
        return len(self._spool.waiting())

    @patient
    def retire_trials(self, before: datetime, dry: bool = False) -> tuple[int, int]:
        """Remove old trials that no version is made of: how many, and the bytes of their files; `dry` only counts."""
        if waiting := self.undelivered():
            raise TrackingError(
                f"{waiting} fits or registrations have not reached MLflow yet: no trial is removed. Start any run, which delivers them"
            )
        return retire(self._client, self.address, before, dry)

    @patient
    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Point an alias at a version; who is champion changes only with an audit record, in `mlops_assets/promotion/champion.py`."""
        if alias in (CHAMPION, PREVIOUS):
            raise TrackingError(
                f"{name}: alias {alias!r} is set by change_champion in mlops_assets/promotion/champion.py only, which records it first"
            )
        self._set_alias(name, alias, number)

    @patient
    def champion(self, name: str) -> Version | None:
        """The version that serves now."""
        return registration.aliased(self._client, name, CHAMPION)

    @patient
    def challenger(self, name: str) -> Version | None:
        """The version last proposed."""
        return registration.aliased(self._client, name, CHALLENGER)

    @patient
    def previous(self, name: str) -> Version | None:
        """The champion before this one."""
        return registration.aliased(self._client, name, PREVIOUS)

    @patient
    def standing(self, name: str) -> tuple[int | None, tuple[int, str] | None]:
        """Number of the champion, and number and hash of the entry of the audit log that the model remembers; asked at once."""
        return registration.standing(self._client, name, CHAMPION, ANCHOR)

    @patient
    def promote(self, name: str, number: int, moment: datetime, replaces: int | None) -> Version:
        """Make a version champion as of `moment` (data time); what it replaces becomes `previous`.

        Called by `mlops_assets/promotion/following.py` alone, after the change was recorded. Safe to repeat after a crash at any
        point: `previous` and the moments are written before the champion moves, and a version that is champion already
        is left alone. One that became champion at the same moment never was, in data time: its moment is taken back.
        """
        with self._lock(name):
            current = self.champion(name)
            if current is not None and current.number == number:
                return current
            versions = self.versions(name)
            if replaces is not None and replaces in [version.number for version in versions]:
                self._set_alias(name, PREVIOUS, replaces)
            registration.record_promotion(self._client, versions, name, number, moment)
            self._set_alias(name, CHAMPION, number)
            return self.version(name, number)

    @patient
    def anchor(self, name: str, seq: int, digest: str) -> None:
        """Remember where the audit log stood, on the registered model, so that a tail cut off the log is missed."""
        self._client.set_registered_model_tag(name, ANCHOR, f"{seq} {digest}")

    def anchors(self) -> dict[str, tuple[int, str]]:
        """What every registered model remembers of the audit log: model -> number and hash of an entry.

        MLflow is asked once; TrackingError where it cannot say.
        """
        from mlflow.exceptions import MlflowException

        try:
            return registration.anchors_of(self._client, ANCHOR)
        except MlflowException as error:
            raise TrackingError(f"MLflow at {shown(self.address)} cannot be asked: {error}") from error

    @patient
    def attach(self, version: Version, files: Mapping[str, bytes]) -> None:
        """Put files beside what the version's run holds, in the place of those that have the same names."""
        attach(self._client, version.run_id, files)

    @patient
    def load(self, version: Version) -> bytes:
        """The model's bytes, refused unless their SHA-256 is the one that was registered; local files need no network."""
        content = self._read(version)
        if sha256(content) != version.sha256:
            raise TrackingError(
                f"{version.name} version {version.number}: the model file's SHA-256 is {sha256(content)}, "
                f"registered was {version.sha256}: the file was changed or cut; restore it or train again"
            )
        return content

    @patient
    def holds(self, version: Version, name: str) -> bool:
        """Whether a file of this name was logged beside the version's fit."""
        return any(file.path == name for file in self._client.list_artifacts(version.run_id))

    @patient
    def artifact(self, version: Version, name: str) -> bytes:
        """A file that was logged beside the version's fit, by its name."""
        home = self._client.get_run(version.run_id).info.artifact_uri
        folder = local_path(home)
        if folder is None:
            return download(f"{home}/{name}", self.address)
        return local_file(version, Path(folder, name), self.artifacts, 3)

    @property
    def _client(self) -> Any:
        return client_of(self.address)

    @property
    def _spool(self) -> Spool:
        beside = local_path(self.artifacts)
        if not self.spool and beside is None:
            raise TrackingError(
                f"artifacts {self.artifacts!r} are not on this machine: give `spool`, a folder that is"
            )
        return Spool(Path(self.spool or Path(str(beside)).with_name("spool")), self.shared)

    @patient
    def _deliver_fit(self, name: str, record: FitRecord) -> str:
        with self._lock(name):
            experiment = self._experiment(name)
            run = find_run(self._client, experiment, record.kind, record.identity)
            if run is None:
                sweep(self._client, experiment, record.kind, record.identity)
            return run or log(self._client, experiment, record)

    @patient
    def _deliver_registration(self, order: Registration) -> Version:
        name = order.name
        with self._lock(name):
            version = next((v for v in self.versions(name) if v.identity == order.identity), None)
            number = version.number if version else create_version(self._client, self.address, order)
            link_model(self._client, order, number)
            return version or self.version(name, number)

    def _lock(self, name: str) -> AbstractContextManager[None]:
        digest = hashlib.sha256(f"{self.address} {name}".encode()).hexdigest()[:16]
        folder = Path(local_path(self.artifacts) or tempfile.gettempdir()) / ".locks"
        return self._spool.locked(digest) if self.shared else file_lock(folder / f"{digest}.lock")

    def _experiment(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None:
            return in_use(experiment)
        home = f"{self.artifacts.rstrip('/')}/{name}" if is_database(self.address) else None
        return self._client.create_experiment(name, artifact_location=home)

    def _set_alias(self, name: str, alias: str, number: int) -> None:
        self._client.set_registered_model_alias(name, alias, str(number))

    def _read(self, version: Version) -> bytes:
        home = registration.home_of(self._client, version)
        folder = local_path(home)
        file = version.file
        if folder is None:
            return download(f"{home}/{file}", self.address)
        return local_file(version, Path(folder, file), self.artifacts, 4)


def _now() -> int:
    return int(time.time() * 1000)
