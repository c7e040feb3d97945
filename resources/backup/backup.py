"""A backup: what databases and stores held at one moment, in a storage of its own, each content once under its hash.

`content/<hash>` has the bytes, `backups/<moment>.json` says which belongs where. The record comes last, so that a backup
that was cut off is none, and every backup is whole by itself though it shares content with the others.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from resources.addresses import shown
from resources.backup import databases
from resources.backup.errors import BackupError
from resources.settings import Settings
from resources.storage.addresses import storage_at
from resources.storage.errors import AbsentError
from resources.storage.storage import Storage

RECORDS, CONTENT = "backups", "content"
LOOKS = 10
"""How often everything is looked at for a moment in which nothing changes."""

Tell = Callable[[str], object]


@dataclass(frozen=True)
class Part:
    """One object or one dump: its bytes by their hash, and the mark of the listing when they were read."""

    sha256: str
    size: int
    mark: str = ""


@dataclass(frozen=True)
class Backup:
    """What belongs where. `began` is the moment after which nothing of it was written any more."""

    name: str
    began: datetime
    databases: dict[str, Part]
    stores: dict[str, dict[str, Part]]

    @property
    def size(self) -> int:
        return sum(part.size for part in self._parts())

    @property
    def objects(self) -> int:
        return sum(map(len, self.stores.values()))

    def _parts(self) -> list[Part]:
        return [
            *self.databases.values(),
            *(part for store in self.stores.values() for part in store.values()),
        ]

    def text(self) -> bytes:
        return json.dumps(asdict(self) | {"began": self.began.isoformat()}, sort_keys=True).encode()

    @classmethod
    def of(cls, text: bytes) -> "Backup":
        said = json.loads(text)
        stores = {
            store: {name: Part(**part) for name, part in parts.items()}
            for store, parts in said["stores"].items()
        }
        dumps = {name: Part(**part) for name, part in said["databases"].items()}
        return cls(said["name"], datetime.fromisoformat(said["began"]), dumps, stores)


@dataclass(frozen=True)
class Places:
    """Databases and stores, by name, and where their backups lie."""

    databases: Mapping[str, str]
    stores: Mapping[str, str]
    backups: str

    @classmethod
    def of(cls, where: Settings) -> "Places":
        """Those of a cluster; raises BackupError where it is none, or where it is not said where backups go."""
        if not where.is_cluster:
            raise BackupError(
                f"MLOPS_ENV=local keeps all of its state in {where.home}: copy that folder while nothing works on it"
            )
        if not where.backup_address:
            raise BackupError(
                "MLOPS_BACKUP is not set: give a folder, or s3://bucket/prefix in another account than the state's"
            )
        more = where.backup_with.split()
        dumps = {"dagster": where.dagster_database, "feast": where.feast_registry}
        stores = {"lake": where.lake, "audit": where.audit, "shared": where.shared_address}
        for address in more:
            kind, name = stores if address.startswith("s3://") else dumps, address.rpartition("/")[2]
            if name in kind:
                raise BackupError(
                    f"MLOPS_BACKUP_WITH has {name!r}, as which a backup has another part: name each once"
                )
            kind[name] = address
        return cls(dumps, stores, where.backup_address)

    @property
    def storage(self) -> Storage:
        return storage_at(self.backups)

    def names(self) -> list[str]:
        """Names of the backups that are whole, oldest first."""
        return [
            name.removeprefix(f"{RECORDS}/").removesuffix(".json")
            for name in self.storage.names(RECORDS, ".json")
        ]

    def backup(self, name: str | None = None) -> Backup:
        """A backup by its name, or the newest; raises BackupError where there is none."""
        there = self.names()
        if not there or (name and name not in there):
            which = f"no backup {name!r}" if name else "no backup"
            raise BackupError(f"{shown(self.backups)} has {which}; there are: {', '.join(there) or 'none'}")
        return Backup.of(self.storage.read(f"{RECORDS}/{name or there[-1]}.json"))


def make(places: Places, tell: Tell, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Backup:
    """Copy everything as it is at one moment; raises BackupError where it never stands still.

    Content that an earlier backup has is not read again. Databases are dumped between two looks at the stores that see the
    same: no record in one names what is not in the other.
    """
    there = places.names()
    stores = places.backup(there[-1]).stores if there else {}
    for _ in range(LOOKS):
        began, marks = now(), _marks(places)
        stores = {name: _copied(places, name, marks[name], stores.get(name, {})) for name in places.stores}
        if _marks(places) != marks:
            continue
        dumps = {name: _stored(places, databases.dumped(at)) for name, at in places.databases.items()}
        if _marks(places) == marks:
            break
    else:
        raise BackupError(
            f"the stores changed during each of {LOOKS} looks: make the backup at a quieter hour, or hold the runs that write"
        )
    backup = Backup(f"{began:%Y-%m-%dT%H-%M-%S}", began, dumps, stores)
    places.storage.write(f"{RECORDS}/{backup.name}.json", backup.text())
    tell(
        f"backup {backup.name}: {len(dumps)} databases and {backup.objects:,} objects, {backup.size / 1e6:.1f} MB, "
        f"made in {(now() - began).total_seconds():.1f} s"
    )
    return backup


def _marks(places: Places) -> dict[str, dict[str, str]]:
    return {name: storage_at(address).marks(deep=True) for name, address in places.stores.items()}


def _copied(
    places: Places, store: str, marks: Mapping[str, str], known: Mapping[str, Part]
) -> dict[str, Part]:
    """Every object of a store; one that has the mark that it had is not read again."""
    source, parts = storage_at(places.stores[store]), dict[str, Part]()
    for name, mark in marks.items():
        if name in known and known[name].mark == mark:
            parts[name] = known[name]
            continue
        try:
            parts[name] = _stored(places, source.read(name), mark)
        except AbsentError:
            continue
    return parts


def _stored(places: Places, content: bytes, mark: str = "") -> Part:
    digest = hashlib.sha256(content).hexdigest()
    if not places.storage.exists(f"{CONTENT}/{digest}"):
        places.storage.write(f"{CONTENT}/{digest}", content)
    return Part(digest, len(content), mark)


def restore(
    places: Places,
    tell: Tell,
    name: str | None = None,
    replace: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Backup:
    """Make databases and stores what they were. Raises BackupError where something is there that is not to be replaced.

    The whole backup is read and held against its hashes first, so that one that is damaged changes nothing.
    """
    backup, began = places.backup(name), now()
    missing = sorted({*places.databases, *places.stores} - {*backup.databases, *backup.stores})
    if missing:
        raise BackupError(
            f"backup {backup.name} has nothing of {', '.join(missing)}: MLOPS_BACKUP_WITH named it later"
        )
    if not replace and (full := sorted(_full(places))):
        raise BackupError(
            f"{', '.join(full)} are not empty, and what is in them would go: give --replace once nothing works on them"
        )
    for part in [*backup.databases.values(), *(p for one in backup.stores.values() for p in one.values())]:
        _content(places, part)
    for one, address in places.databases.items():
        databases.bring_back(address, _content(places, backup.databases[one]))
    for one, address in places.stores.items():
        _bring_back(places, storage_at(address), backup.stores[one])
    lost = began - backup.began
    tell(
        f"backup {backup.name} is back: {len(places.databases)} databases and {backup.objects:,} objects in "
        f"{(now() - began).total_seconds():.1f} s; what was written in the {lost.total_seconds():,.0f} s after it is lost"
    )
    return backup


def _full(places: Places) -> list[str]:
    databases_full = [name for name, at in places.databases.items() if not databases.is_empty(at)]
    return databases_full + [name for name, at in places.stores.items() if storage_at(at).names(deep=True)]


def _content(places: Places, part: Part) -> bytes:
    try:
        content = places.storage.read(f"{CONTENT}/{part.sha256}")
    except AbsentError as error:
        raise BackupError(f"content {part.sha256} of the backup is gone: take another backup") from error
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise BackupError(f"content {part.sha256} of the backup is damaged: take another backup")
    return content


def _bring_back(places: Places, target: Storage, parts: Mapping[str, Part]) -> None:
    for name in set(target.names(deep=True)) - set(parts):
        target.delete(name)
    for name, part in sorted(parts.items(), key=lambda one: (-one[0].count("/"), one[0])):
        there = target.load_or_none(name)
        if there is None or hashlib.sha256(there.content).hexdigest() != part.sha256:
            target.write(name, _content(places, part))
