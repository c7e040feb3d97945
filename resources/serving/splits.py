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


def splits_in(
    folder: Path, before: Mapping[str, Split], sides: Mapping[str, str] | None = None
) -> Mapping[str, Split]:
    """By model; one that cannot be read leaves all requests to the version that answers, and the log says so once.

    `sides` has the models whose requests a router in front divides, by the version whose requests it sends here.
    """
    splits: dict[str, Split] = {}
    for path in sorted((folder / FOLDER).glob("[!.]*.json")):
        try:
            splits[path.stem] = _divided_before(split_in(path), sides or {})
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


def _divided_before(split: Split, sides: Mapping[str, str]) -> Split:
    """A split of which all requests that come here belong to one side, where somebody in front has drawn already."""
    version = sides.get(split.name)
    if version is None:
        return split
    return split.model_copy(update={"share": float(version == split.version)})
