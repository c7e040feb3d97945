"""What was logged and has not reached MLflow yet: a file for each fit and each registration, on disk or where all machines see it.

A file is written whole before the first request and removed after the last answer. So a process that is killed while
the server is away loses nothing: whoever comes next delivers what lies here, and delivering twice is delivering once.
"""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from resources.storage.mirror import Mirror
from resources.tracking.fits import FitRecord
from resources.tracking.outage import TrackingAwayError
from resources.tracking.registration import Registration
from resources.tracking.versions import DeletedError, TrackingError

FIT, REGISTRATION = ".fit.zip", ".version.json"
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError),
    *(KeyError, TypeError, ValueError, AttributeError, pl.exceptions.PolarsError),
)
"""What reading raises of bytes that are not what was written."""

MODEL, EXAMPLE, ABOUT, ARTIFACTS = "model", "example.parquet", "fit.json", "artifacts/"


@dataclass(frozen=True)
class Spool:
    """The folder; names of files begin with the moment of logging, so that sorted they are in order.

    With `shared`, an address of storage, the folder follows that, so that another machine delivers what one left that is gone.
    """

    folder: Path
    shared: str = ""

    def put_fit(self, name: str, record: FitRecord) -> Path:
        """Keep a fit of the model `name` until it is delivered."""
        key = hashlib.sha256(f"{name} {record.kind} {record.identity}".encode()).hexdigest()[:32]
        return self._mirror.put(f"{record.logged_at:015d}-{key}{FIT}", packed(name, record))

    def put_registration(self, registration: Registration, moment: int) -> Path:
        """Keep a registration until it is delivered; `moment` in milliseconds."""
        content = json.dumps({**vars(registration), "tags": dict(registration.tags)}).encode()
        return self._mirror.put(f"{moment:015d}-{registration.run_id}{REGISTRATION}", content)

    def waiting(self) -> list[Path]:
        """What was not delivered, oldest first."""
        self._mirror.pull()
        paths = [p for end in (FIT, REGISTRATION) for p in self.folder.glob(f"[!.]*{end}")]
        return sorted(paths)

    @contextmanager
    def holding(self, path: Path) -> Iterator[None]:
        """Keep a file while it is delivered: it goes when MLflow has it, or a rule of ours says that it never can.

        Whatever else hinders it may be mended: a server that is away, something deleted, a full disk.
        """
        try:
            yield
        except (TrackingAwayError, DeletedError):
            raise
        except TrackingError:
            self.remove(path)
            raise
        self.remove(path)

    def remove(self, path: Path) -> None:
        """Take away what was delivered."""
        self._mirror.remove(path.name)

    def locked(self, name: str) -> AbstractContextManager[None]:
        """Hold a name alone among all who deliver from here."""
        return self._mirror.locked(name)

    @property
    def _mirror(self) -> Mirror:
        return Mirror(self.folder, self.shared)

    @staticmethod
    def read(path: Path) -> tuple[str, FitRecord] | Registration:
        """What a file holds: a fit with its model's name, or a registration."""
        content = path.read_bytes()
        try:
            return unpacked(content) if path.name.endswith(FIT) else Registration(**json.loads(content))
        except DAMAGED as error:
            raise TrackingError(f"the file is damaged ({type(error).__name__}: {error})") from error


def deliver_all(
    spool: Spool,
    deliver_fit: Callable[[str, FitRecord], object],
    deliver_registration: Callable[[Registration], object],
) -> None:
    """Deliver what waits, oldest first; a file that MLflow refuses, or that is damaged, stays and is told each time."""
    from dagster import get_dagster_logger

    for path in spool.waiting():
        try:
            record = spool.read(path)
            if isinstance(record, Registration):
                deliver_registration(record)
            else:
                deliver_fit(*record)
        except FileNotFoundError:
            continue
        except TrackingAwayError as away:
            get_dagster_logger("tracking").warning(
                f"{len(spool.waiting())} files wait in {spool.folder}: {away}"
            )
            return
        except _refusals() as error:
            get_dagster_logger("tracking").error(
                f"{path} cannot be delivered to MLflow: {error}. The file stays; remove it once nothing in it is needed"
            )
            continue
        spool.remove(path)


def _refusals() -> tuple[type[Exception], ...]:
    from mlflow.exceptions import MlflowException

    return (TrackingError, MlflowException, OSError)


def packed(name: str, record: FitRecord) -> bytes:
    """A fit as one zip file: model and artifacts as they are, the example as parquet, the rest as JSON."""
    about = {
        "name": name,
        "kind": record.kind,
        "identity": record.identity,
        "params": dict(record.params),
        "history": {key: list(values) for key, values in record.history.items()},
        "metrics": dict(record.metrics),
        "tags": dict(record.tags),
        "file": record.file,
        "logged_at": record.logged_at,
    }
    example, archive = io.BytesIO(), io.BytesIO()
    record.example.write_parquet(example)
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr(ABOUT, json.dumps(about))
        target.writestr(MODEL, record.model)
        target.writestr(EXAMPLE, example.getvalue())
        for path, content in record.artifacts.items():
            target.writestr(f"{ARTIFACTS}{path}", content)
    return archive.getvalue()


def unpacked(content: bytes) -> tuple[str, FitRecord]:
    """The model's name and the fit; the archive's checksums are verified."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        about = json.loads(archive.read(ABOUT))
        files = [n for n in archive.namelist() if n.startswith(ARTIFACTS)]
        record = {
            "model": archive.read(MODEL),
            "example": pl.read_parquet(io.BytesIO(archive.read(EXAMPLE))),
            "artifacts": {n.removeprefix(ARTIFACTS): archive.read(n) for n in files},
        }
    return about.pop("name"), FitRecord(**about, **record)
