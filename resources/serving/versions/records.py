"""The records of versions that may be asked by their number, below the folder of deployment records."""

import re
from pathlib import Path

from resources.records.deployment import Deployment, deployment_in
from resources.records.reader import RecordError
from resources.storage.contained import below

FOLDER = "versions"
VERSION = re.compile(r"[0-9]{1,18}")


def version_file(folder: Path, name: str, version: str | int) -> Path:
    """Where the record of one version lies."""
    return below(folder / FOLDER, f"{name}/{version}.json")


def version_in(folder: Path, name: str, version: str | int) -> Deployment:
    """The record of one version; errors name the file and the field."""
    path = version_file(folder, name, version)
    record = deployment_in(path, name)
    if record.version != str(version):
        raise RecordError(f"{path} holds version {record.version}: name the file {record.version}.json")
    return record
