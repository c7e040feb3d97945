"""What `mlops check` says of the rows that a model scores in batches."""

from collections.abc import Collection, Iterator, Mapping

from mlops_assets.spec.model import ModelSpec


def batch_problems(
    spec: ModelSpec, known: Mapping[str, Collection[str]], whole: Collection[str]
) -> Iterator[str]:
    """What is wrong with a batch's table: it does not exist, is cut otherwise, or lacks what a request must bring.

    `known` has the columns of every table, `whole` those that are not cut into partitions. Of files nothing is said.
    """
    batch = spec.batch
    if batch is None or batch.table is None:
        return
    if batch.table not in known:
        yield f"batch.table {batch.table!r} does not exist; there are: {', '.join(sorted(known))}"
        return
    if batch.partitioned and batch.table in whole:
        yield f"batch.table {batch.table!r} is written whole and has no partitions: say batch.whole: true"
    there = known[batch.table]
    for column in batch.key or spec.prediction.key:
        if column not in there:
            yield f"batch.table {batch.table!r} has no column {column!r}, by which a score is named; it has {', '.join(there)}"
    for column in _required_fields(spec):
        if column not in there:
            yield (
                f"batch.table {batch.table!r} has no column {column!r}, which each request must bring; it has "
                f"{', '.join(there)}"
            )


def _required_fields(spec: ModelSpec) -> list[str]:
    """Fields that a request must have: of its own model, or the keys of its features and columns that are never missing."""
    from mlops_assets.stages.entity_rows import imported
    from resources.features.inputs import service_inputs
    from resources.features.stores import repository_of

    if path := spec.prediction.request_model:
        return [name for name, field in imported(path).model_fields.items() if field.is_required()]
    keys = service_inputs(spec.feature_service, repository_of(spec.use_case)).keys
    always = [name for name, column in spec.prediction.columns.items() if not column.nullable]
    return [name for name in dict.fromkeys([*keys, *always]) if name != spec.prediction.time]
