"""How the models stand, as the endpoint's page is told: written whole by whoever described it last, on any machine."""

import logging
from pathlib import Path

from resources.records.reader import RecordError, read_record
from resources.records.standing import PlatformStatus

LOG = logging.getLogger(__name__)
STATUS = "status/now.json"
"""Where it lies below the folder of deployment records, which has a file a model."""


def status_in(folder: Path) -> PlatformStatus | None:
    """The newest status below a folder of records; None where none was written, or none that this release can read."""
    path = folder / STATUS
    try:
        return read_record(PlatformStatus, path.read_bytes(), str(path))
    except FileNotFoundError:
        return None
    except RecordError as error:
        LOG.warning("%s", error)
        return None
