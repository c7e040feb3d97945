"""What a search found, as data that a training reads: the newest result that was there at the training's partition.

A result counts from the partition at whose end it was searched, so that a training of an earlier partition, in a back-test or
a rebuild, does not know it.
"""

from collections.abc import Mapping
from typing import Any

from mlops_assets.ml.tuning.trials import parameters_hash, with_found
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.errors import AlteredRecordError
from resources.lake.lake import Lake
from resources.records.attempts import Challenger
from resources.records.documents import load_record
from resources.records.reader import read_record
from resources.records.searches import SearchResult, WinningParameters
from resources.tracking.tracking import Version

PARAMETERS_FROM = "parameters_from"
PARAMETERS, SEARCH = "parameters", "search"


def search_folder(spec: ModelSpec) -> str:
    """Where the results of a model's searches lie in the lake, one JSON record a partition."""
    return f"{spec.name}/search"


def training_spec(spec: ModelSpec, lake: Lake, partition: str) -> tuple[ModelSpec, dict[str, str]]:
    """The spec that a training at the end of a partition follows, and the tags that say where its parameters come from.

    Raises AlteredRecordError where a result does not carry the hash it was written with.
    """
    if spec.search is None:
        return spec, {}
    if not spec.search.apply:
        return spec, {PARAMETERS_FROM: "the spec: search.apply is false"}
    record = newest_result(spec, lake, partition)
    if record is None:
        return spec, {
            PARAMETERS_FROM: f"the spec: no search for the trainer {spec.trainer.kind} has ended by {partition}"
        }
    said = f"the search of {record.partition}: trial {record.trial} of {record.trials}"
    parameters = record.parameters
    return with_found(spec, parameters), {
        PARAMETERS_FROM: said,
        PARAMETERS: WinningParameters(parameters=parameters).text(),
        SEARCH: record.sha256,
    }


def newest_result(spec: ModelSpec, lake: Lake, partition: str) -> SearchResult | None:
    """The record of the newest search up to a partition that was made for this kind of trainer."""
    for name in reversed([name for name in lake.records(search_folder(spec)) if name <= partition]):
        record = load_record(lake, SearchResult, f"{search_folder(spec)}/{name}")
        if record and record.trainer == spec.trainer.kind:
            return _unchanged(record, f"{search_folder(spec)}/{name}.json")
    return None


def as_trained(spec: ModelSpec, candidate: Challenger) -> ModelSpec:
    """The spec that a challenger was trained by, from its record: a search that ended since changes nothing of it."""
    return with_found(spec, candidate.parameters) if candidate.parameters else spec


def origin_of(version: Version) -> dict[str, str]:
    """The tags of a version that say where its parameters come from."""
    return {
        name: version.tags[name] for name in (PARAMETERS_FROM, PARAMETERS, SEARCH) if name in version.tags
    }


def parameters_in(tags: Mapping[str, str], where: str) -> dict[str, Any] | None:
    """The parameters that a search won with, in the tags of a version; None where there was no search."""
    if PARAMETERS not in tags:
        return None
    return read_record(WinningParameters, tags[PARAMETERS], f"{where}: tag {PARAMETERS}").parameters


def _unchanged(record: SearchResult, name: str) -> SearchResult:
    digest = parameters_hash(record.parameters)
    if digest != record.sha256:
        raise AlteredRecordError(
            f"{name}: the parameters' SHA-256 is {digest}, the search wrote {record.sha256}: somebody changed them. "
            "Search again, or write parameters of your own into the spec and set search.apply to false"
        )
    return record
