"""Runs and model versions in MLflow: every fit logged once, every version registered once, promotion under a lock.

Everything is found again by an identity that the caller derives from the content (data, spec, code), so a process
that was killed and started again ends with the same runs, version numbers and aliases as an unbroken one.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import polars as pl

from resources.locks import file_lock
from resources.mlflow_client import client_of, download, is_database, local_path, use_uri
from resources.model_files import MODEL_FILE, write_model

IDENTITY, KIND, SHA256, MODEL_ID, COMPLETE = "identity", "kind", "sha256", "model_id", "complete"
PROMOTED_AT, TRAINED_UNTIL = "promoted_at", "trained_until"
CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"
Kind = Literal["challenger", "refit", "trial"]


class TrackingError(Exception):
    """A run, version or model file is missing, unfinished or not what was logged."""


@dataclass(frozen=True)
class Version:
    """One registered model version; its moments are data time, never the wall clock."""

    name: str
    number: int
    identity: str
    run_id: str
    sha256: str
    tags: dict[str, str]
    trained_until: datetime | None = None
    promoted_at: datetime | None = None

    @property
    def promotions(self) -> list[datetime]:
        """Every moment at which this version became champion, oldest first."""
        return _moments(self.tags.get(PROMOTED_AT, ""))


class Tracking(dg.ConfigurableResource):
    """MLflow's tracking and registry at `uri` (SQLite or a server), artifacts of new experiments under `artifacts`."""

    uri: str
    artifacts: str

    def log_fit(
        self,
        name: str,
        fit_model: bytes,
        *,
        kind: Kind,
        identity: str,
        params: Mapping[str, Any],
        history: Mapping[str, list[float]],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        example: pl.DataFrame,
        artifacts: Mapping[str, bytes] | None = None,
    ) -> str:
        """Log one fit as a run with a logged model, and return the run's id.

        A finished run of the same identity and kind is returned instead; one that a killed process left half
        logged is deleted and logged anew. `history` is a value a round, `artifacts` are files by name.
        """
        with self._lock(name):
            experiment = self._experiment(name)
            found = self._finished(experiment, kind, identity)
            if found:
                return found
            self._sweep(experiment, kind, identity)
            labels = {**tags, IDENTITY: identity, KIND: kind, SHA256: _sha256(fit_model)}
            run = self._client.create_run(experiment, tags=dict(labels), run_name=f"{kind} {identity}"[:100])
            model = self._log_model(experiment, run.info.run_id, fit_model, example, labels, params)
            self._log_numbers(run.info.run_id, model.model_id, params, history, metrics)
            self._log_files(run.info.run_id, artifacts or {})
            self._client.set_terminated(run.info.run_id)
            self._client.set_tag(run.info.run_id, COMPLETE, "true")
            return run.info.run_id

    def find_run(self, name: str, kind: Kind, identity: str) -> str | None:
        """Id of the finished run with this identity, or None."""
        experiment = self._client.get_experiment_by_name(name)
        return self._finished(experiment.experiment_id, kind, identity) if experiment else None

    def register(
        self, name: str, run_id: str, identity: str, tags: Mapping[str, str] | None = None
    ) -> Version:
        """Make the run's model a version of `name`, or return the version that has this identity already."""
        with self._lock(name):
            found = next((v for v in self.versions(name) if v.identity == identity), None)
            number = found.number if found else self._create_version(name, run_id, identity, tags or {})
            self._link_model(name, number, run_id)
            return found or self.version(name, number)

    def version(self, name: str, number: int) -> Version:
        """One version by its number."""
        return _version(self._client.get_model_version(name, str(number)))

    def versions(self, name: str) -> list[Version]:
        """All versions of a model, oldest first; none where the model was never registered."""
        found, token = [], None
        while True:
            page = self._client.search_model_versions(f"name = '{_quotable(name)}'", 200, page_token=token)
            found += [_version(v) for v in page]
            token = page.token
            if not token:
                return sorted(found, key=lambda v: v.number)

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Point an alias at a version."""
        self._client.set_registered_model_alias(name, alias, str(number))

    def champion(self, name: str) -> Version | None:
        """The version that serves now."""
        return self._aliased(name, CHAMPION)

    def challenger(self, name: str) -> Version | None:
        """The version last proposed."""
        return self._aliased(name, CHALLENGER)

    def previous(self, name: str) -> Version | None:
        """The champion before this one."""
        return self._aliased(name, PREVIOUS)

    def promote(self, name: str, number: int, moment: datetime) -> Version:
        """Make a version champion as of `moment` (data time); the champion so far becomes `previous`.

        Safe to repeat after a crash at any point: `previous` and the moment are written before the champion moves,
        and a version that is champion already is left alone.
        """
        with self._lock(name):
            current = self.champion(name)
            if current is not None and current.number == number:
                return current
            if current is not None:
                self.set_alias(name, PREVIOUS, current.number)
            self._record_promotion(name, number, moment)
            self.set_alias(name, CHAMPION, number)
            return self.version(name, number)

    def champion_at(self, name: str, moment: datetime) -> Version | None:
        """The version that was champion at a moment of data time: the last one promoted at or before it."""
        made = [(at, v.number, v) for v in self.versions(name) for at in v.promotions if at <= _utc(moment)]
        return max(made, key=lambda entry: entry[:2])[2] if made else None

    def load(self, version: Version) -> bytes:
        """The model's bytes, refused unless their SHA-256 is the one that was registered; local files need no network."""
        content = self._read(version)
        if _sha256(content) != version.sha256:
            raise TrackingError(
                f"{version.name} version {version.number}: the model file's SHA-256 is {_sha256(content)}, "
                f"registered was {version.sha256}: the file was changed or cut; restore it or train again"
            )
        return content

    @property
    def _client(self) -> Any:
        return client_of(self.uri)

    def _lock(self, name: str) -> AbstractContextManager[None]:
        digest = hashlib.sha256(f"{self.uri} {name}".encode()).hexdigest()[:16]
        folder = Path(local_path(self.artifacts) or tempfile.gettempdir())
        return file_lock(folder / ".locks" / f"{digest}.lock")

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        home = f"{self.artifacts.rstrip('/')}/{name}" if is_database(self.uri) else None
        return self._client.create_experiment(name, artifact_location=home)

    def _finished(self, experiment: str, kind: str, identity: str) -> str | None:
        runs = self._runs(experiment, kind, identity)
        return next((r.info.run_id for r in runs if r.data.tags.get(COMPLETE) == "true"), None)

    def _sweep(self, experiment: str, kind: str, identity: str) -> None:
        """Delete what a killed process left half logged; under the lock nobody else can be writing it."""
        for run in self._runs(experiment, kind, identity):
            self._client.delete_run(run.info.run_id)

    def _runs(self, experiment: str, kind: str, identity: str) -> list[Any]:
        query = f"tags.{IDENTITY} = '{_quotable(identity)}' and tags.{KIND} = '{kind}'"
        return list(self._client.search_runs([experiment], query))

    def _log_model(
        self,
        experiment: str,
        run_id: str,
        content: bytes,
        example: pl.DataFrame,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
    ) -> Any:
        from mlflow.entities import LoggedModelOutput

        texts = {key: str(value)[:500] for key, value in params.items()}
        logged = self._client.create_logged_model(
            experiment, name="model", source_run_id=run_id, tags=dict(tags), params=texts
        )
        with tempfile.TemporaryDirectory() as folder:
            write_model(Path(folder) / "model", content, example, logged, run_id)
            self._client.log_model_artifacts(logged.model_id, f"{folder}/model")
        self._client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        self._client.set_tag(run_id, MODEL_ID, logged.model_id)
        return self._client.finalize_logged_model(logged.model_id, "READY")

    def _log_numbers(
        self,
        run_id: str,
        model_id: str,
        params: Mapping[str, Any],
        history: Mapping[str, list[float]],
        metrics: Mapping[str, float],
    ) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        rows = [Metric(k, float(v), now, step) for k, vs in history.items() for step, v in enumerate(vs)]
        rows += [Metric(k, float(v), now, 0, model_id=model_id, run_id=run_id) for k, v in metrics.items()]
        values = [Param(key, str(value)[:6000]) for key, value in params.items()]
        for some, few in zip_longest(_chunks(rows, 900), _chunks(values, 100), fillvalue=()):
            self._client.log_batch(run_id, metrics=some, params=few)

    def _log_files(self, run_id: str, files: Mapping[str, bytes]) -> None:
        if not files:
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self._client.log_artifacts(run_id, folder)

    def _create_version(self, name: str, run_id: str, identity: str, tags: Mapping[str, str]) -> int:
        run = self._client.get_run(run_id)
        if run.data.tags.get(COMPLETE) != "true":
            raise TrackingError(f"run {run_id} of {name!r} is not completely logged: log the fit again first")
        self._register_name(name)
        labels = {**tags, IDENTITY: identity, SHA256: run.data.tags[SHA256]}
        with use_uri(self.uri):
            created = self._client.create_model_version(
                name,
                f"models:/{run.data.tags[MODEL_ID]}",
                run_id,
                tags={k: str(v) for k, v in labels.items()},
            )
        return int(created.version)

    def _register_name(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _link_model(self, name: str, number: int, run_id: str) -> None:
        """What MLflow's own registration leaves on the logged model, so that its page links to the version."""
        model_id = self._client.get_run(run_id).data.tags[MODEL_ID]
        link = json.dumps([{"name": name, "version": number}])
        self._client.set_logged_model_tags(model_id, {"mlflow.modelVersions": link})

    def _record_promotion(self, name: str, number: int, moment: datetime) -> None:
        moments = sorted({*self.version(name, number).promotions, _utc(moment)})
        text = ", ".join(m.isoformat() for m in moments)
        self._client.set_model_version_tag(name, str(number), PROMOTED_AT, text)

    def _aliased(self, name: str, alias: str) -> Version | None:
        from mlflow.exceptions import MlflowException

        try:
            return _version(self._client.get_model_version_by_alias(name, alias))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def _read(self, version: Version) -> bytes:
        home = self._client.get_model_version_download_uri(version.name, str(version.number))
        folder = local_path(home)
        if folder is None:
            return download(f"{home}/{MODEL_FILE}", self.uri)
        recorded = Path(folder, MODEL_FILE)
        moved = Path(local_path(self.artifacts) or folder, version.name, *recorded.parts[-4:])
        for path in (recorded, moved):
            if path.is_file():
                return path.read_bytes()
        raise TrackingError(
            f"{version.name} version {version.number}: no model file at {recorded} nor at {moved}: "
            f"restore the artifacts folder, or train again"
        )


def _version(found: Any) -> Version:
    tags = dict(found.tags)
    promotions = _moments(tags.get(PROMOTED_AT, ""))
    until = _moments(tags.get(TRAINED_UNTIL, ""))
    return Version(
        name=found.name,
        number=int(found.version),
        identity=tags.get(IDENTITY, ""),
        run_id=found.run_id or "",
        sha256=tags.get(SHA256, ""),
        tags=tags,
        trained_until=until[-1] if until else None,
        promoted_at=promotions[-1] if promotions else None,
    )


def _chunks(values: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _moments(text: str) -> list[datetime]:
    return [_utc(datetime.fromisoformat(part.strip())) for part in text.split(",") if part.strip()]


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise TrackingError(
            f"{moment} has no time zone: give an aware datetime, for instance with tzinfo=UTC"
        )
    return moment.astimezone(UTC)


def _quotable(text: str) -> str:
    if "'" in text or '"' in text:
        raise TrackingError(
            f"{text!r} holds a quotation mark, which MLflow's search cannot take: leave it out"
        )
    return text


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
