"""The rows that a join asks for: those of the prediction table with the spec's own keys and request columns."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import polars as pl

from mlops_assets.spec.columns import input_clashes, label_among_inputs, request_clashes
from mlops_assets.spec.model import ModelSpec
from resources.features.store import FeatureStoreError, FeatureStoreResource


def entity_rows(spec: ModelSpec, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of the prediction table with the join keys and request columns that the feature service asks for."""
    return imported(spec.prediction.rows)(rows) if spec.prediction.rows else rows


def imported(path: str) -> Any:
    """The object behind `package.module:name`."""
    module, name = path.split(":")
    return getattr(import_module(module), name)


def refuse_names_that_meet(spec: ModelSpec, feature_store: FeatureStoreResource) -> None:
    """Raise where a name of the feature service meets another, or the label: what the component checks at load, by Feast's own objects."""
    inputs = feature_store.inputs(spec.feature_service)
    problems = [
        *input_clashes(inputs, spec.prediction.key, spec.prediction.time),
        *label_among_inputs(inputs, spec.label.named_columns),
        *request_clashes(inputs, spec.prediction.columns),
        *inputs_made_of_the_label(spec, [*inputs.keys, *inputs.requests, *spec.prediction.columns]),
    ]
    if problems:
        raise FeatureStoreError(f"{spec.name} with {spec.feature_service}: {'; '.join(problems)}")


def inputs_made_of_the_label(spec: ModelSpec, names: Sequence[str]) -> Iterator[str]:
    """Join keys and request columns that `prediction.rows` says it computes from the label or its moment."""
    function = imported(spec.prediction.rows) if spec.prediction.rows else None
    for name in names:
        for source in getattr(function, "computed_from", {}).get(name, ()):
            if spec.label.table is None and source in spec.label.facts:
                yield f"{spec.prediction.rows} computes {name!r} from {source!r}, which is the label's: leave it out"
