"""What a variable may hold: each function reads a value, or raises ValueError with how the sentence goes on after the variable and its value."""

import ipaddress
import math
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from resources.addresses import shown
from resources.moments import MomentError, read_moment
from resources.state_folder import SettingsError

FASTEST = 1_000_000
"""How many times as fast as the wall clock a simulated one may run: ten days a second."""

KUBERAY = "kuberay://"
"""How an address begins that names a Kubernetes namespace, in which each fit gets a Ray cluster of its own."""


def path(value: str | Path | None) -> Path | None:
    try:
        return None if value is None else Path(value).expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise ValueError(f" is no path that can be followed ({error}): give another") from error


def storage(value: str) -> str:
    if value.startswith("s3://"):
        if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/\s?#*]+)*/?", value):
            raise ValueError(" names no place in a bucket: give s3://bucket/prefix")
        return value.rstrip("/")
    if "://" in value:
        raise ValueError(": give a folder, or s3://bucket/prefix")
    return str(path(value)) if value else ""


def port(value: str | int) -> int:
    if not str(value).isdigit() or not 0 < int(value) < 65536:
        raise ValueError(" is not a port: give a whole number from 1 to 65535")
    return int(value)


def count(value: str | int) -> int:
    if not str(value).isdigit() or int(value) < 1:
        raise ValueError(" is no number of them: give a whole number, 1 or more")
    return int(value)


def seconds(value: str | int) -> int:
    if not str(value).isdigit():
        raise ValueError(" is not a time: give whole seconds, 0 or more")
    return int(value)


def days(value: str | int) -> int:
    if not str(value).isdigit():
        raise ValueError(" is not a number of days: give whole days, 0 or more")
    return int(value)


def moment(value: str | datetime | None) -> datetime | None:
    try:
        return value if isinstance(value, datetime) else read_moment(value) if value else None
    except MomentError as error:
        raise ValueError(" is no moment: give one with its zone, 2024-11-03T00:00:00Z") from error


def rate(value: str | float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number <= FASTEST:
        raise ValueError(f" is no rate: give a number over 0, and up to {FASTEST:,}")
    return number


def engine(value: str) -> str:
    if value not in ("local", "ray"):
        raise ValueError(" is not known: give local or ray")
    return value


def server(value: str) -> str:
    if value not in ("process", "ray"):
        raise ValueError(" is not known: give process or ray")
    return value


def host(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        if re.fullmatch(r"[A-Za-z0-9_.-]+", value):
            return value
    raise ValueError(" is no address to listen on: give one without port, 127.0.0.1 or 0.0.0.0")


def keys(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Never repeats a value: what is wrong may be a key itself."""
    parts = value.split(",") if isinstance(value, str) else value
    entries = tuple(part.strip() for part in parts if part.strip())
    for number, one in enumerate(entries, 1):
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}:[0-9a-f]{64}", one):
            raise SettingsError(
                f"MLOPS_SERVE_KEYS: entry {number} is no NAME:HASH: give what `mlops key new NAME` prints for it"
            )
    return entries


def hosts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    hosts = tuple(name.strip().lower() for name in names if name.strip())
    wrong = next((host for host in hosts if not re.fullmatch(r"[a-z0-9_.-]+|\[[0-9a-f:.]+\]", host)), None)
    if wrong:
        raise ValueError(f": {wrong!r} is no host name: give names without port, separated by commas")
    return hosts


def versions(value: str | dict[str, str]) -> dict[str, str]:
    if isinstance(value, dict):
        return value
    pairs = [pair.strip() for pair in value.split(",") if pair.strip()]
    wrong = next((pair for pair in pairs if not re.fullmatch(r"[a-z][a-z0-9_]*=[0-9]{1,18}", pair)), None)
    if wrong:
        raise ValueError(f": {wrong!r} names no version of a model: give MODEL=NUMBER, commas between them")
    return dict(pair.split("=") for pair in pairs)


def redis(value: str) -> str:
    if value and not re.fullmatch(r"rediss?://(?:[^@/\s]+@)?[^:@/\s]+:\d+(?:/\d+)?", value):
        raise ValueError(": give redis://host:port or redis://host:port/db, or nothing for SQLite")
    return value


def ray(value: str) -> str:
    namespace = value.removeprefix(KUBERAY)
    if value.startswith(KUBERAY) and not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", namespace):
        raise ValueError(f" names no Kubernetes namespace: give {KUBERAY} and its name")
    return value


def namespace(value: str) -> str:
    if value and not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise ValueError(" names no Kubernetes namespace: give small letters, digits and -")
    return value


def label(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9./_-]*=[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", value):
        raise ValueError(" is no label: give key=value, for instance cloud.google.com/gke-spot=true")
    return value


def environment(value: str) -> str:
    if value not in ("local", "cluster"):
        raise ValueError(" is not known: give local or cluster")
    return value


def bucket(value: str) -> str:
    if value and not value.startswith("s3://"):
        raise ValueError(" is no bucket: give s3://bucket/prefix, or nothing for MLOPS_HOME itself")
    return storage(value)


def postgresql(value: str) -> str:
    """Never repeats a value: it may hold a password."""
    if value and not re.fullmatch(
        r"postgresql\+psycopg2://(?:[^@/\s]+@)?[^:@/\s]+(?::\d+)?/[^/\s?]+(?:\?\S*)?", value
    ):
        raise ValueError(": give postgresql+psycopg2://user:password@host:port/database, the driver named")
    return value


def addresses(value: str) -> str:
    """Databases and buckets with spaces between; never repeats a value: it may hold a password."""
    for one in value.split():
        bucket(one) if one.startswith("s3://") else postgresql(one)
    return value


def sentence(wrong: Any) -> str | None:
    """What is wrong with a variable; None where that only follows from another one."""
    if wrong["type"] == "default_factory_not_called":
        return None
    cause = wrong.get("ctx", {}).get("error", wrong["msg"])
    if isinstance(cause, SettingsError):
        return str(cause)
    return f"{wrong['loc'][0]}={shown(str(wrong['input']))!r}{cause}"
