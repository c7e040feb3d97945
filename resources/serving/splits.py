"""The splits of a folder of deployment records, followed as those are."""

import logging
from collections.abc import Mapping
from pathlib import Path

from resources.records.reader import RecordError
from resources.records.split import Split, split_in
from resources.storage.contained import below

LOG = logging.getLogger(__name__)
FOLDER = "splits"


def split_file(folder: Path, name: str) -> Path:
    """Where a model's split lies."""
    return below(folder / FOLDER, f"{name}.json")


def splits_in(folder: Path, before: Mapping[str, Split]) -> Mapping[str, Split]:
    """By model; one that cannot be read leaves all requests to the version that answers, and the log says so once."""
    splits: dict[str, Split] = {}
    for path in sorted((folder / FOLDER).glob("[!.]*.json")):
        try:
            splits[path.stem] = split_in(path)
        except FileNotFoundError:
            continue
        except (RecordError, OSError) as error:
            level = logging.WARNING if path.stem in before else logging.DEBUG
            LOG.log(level, "%s; the version that answers has all requests of %s", error, path.stem)
    for name, split in splits.items():
        if before.get(name) != split:
            LOG.warning("%s of the requests to %s ask version %s", f"{split.share:.1%}", name, split.version)
    for name in set(before) - set(splits):
        LOG.warning("all requests to %s ask the version that answers", name)
    return splits
