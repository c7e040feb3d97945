"""What the catalogue says of a training set's columns: the words of the feature repository, and where values come from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mlops_assets.ml.tables import Column
from mlops_assets.spec.columns import LABEL_EARLIER, LABEL_KNOWN
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import feature_table
from resources.features.catalogue import DescribedFeature, described_features
from resources.features.repository import Given

Sources = tuple[tuple[str, str], ...]
EVENT_TIME = "event_timestamp"


def training_columns(
    spec: ModelSpec, repository: Given, rows: Callable[..., Any] | None, given: Sequence[str]
) -> dict[str, Column]:
    """Every column of `<model>/training_set`: those beside the features, then the features.

    A joined feature depends on the feature table's value, keys and event timestamp, and on the row's own keys and
    prediction time; an on-demand feature on the request columns and features that it is computed from.

    Args:
        spec: the model.
        repository: package of the Feast definitions.
        rows: the function behind `prediction.rows`, if there is one.
        given: columns of the prediction table.
    """
    features = described_features(spec.feature_service, repository)
    sources = RowSources(spec, rows, given)
    return {
        **{name: Column(text, made_of=sources.behind_own(name)) for name, text in own_columns(spec)},
        **{
            name: Column(
                feature.description, feature.unit, tuple(dict.fromkeys(sources.behind(name, features)))
            )
            for name, feature in features.items()
        },
    }


def own_columns(spec: ModelSpec) -> Iterator[tuple[str, str]]:
    """Columns that a training set has beside its features, and why it has them; a feature of that name goes first."""
    yield from ((name, "Divides the rows for reports.") for name in spec.slices)
    yield from ((name, "A category that the model is given as it is.") for name in spec.trainer.categories)
    brought = "Brought by each request; the model is given it as it is."
    yield from ((name, one.description or brought) for name, one in spec.prediction.columns.items())
    yield from ((name, "Names the prediction.") for name in spec.prediction.key)
    yield spec.prediction.time, "The moment of the prediction; nothing that was known later is in the row."
    positive = "" if spec.label.above is None else f" Positive above {spec.label.above:g}."
    yield (
        spec.label.column,
        f"The label: what really happened, missing while and where it is unknown.{positive}",
    )
    if spec.label.table:
        yield LABEL_KNOWN, f"When the label, in {spec.label.table}, was known."
        yield LABEL_EARLIER, "The outcomes that the label corrects, each with the moment it was known."
    elif spec.label.known_at:
        yield spec.label.known_at, "When the label was known."


class RowSources:
    """From which columns of the prediction table the rows that are joined are made."""

    def __init__(self, spec: ModelSpec, rows: Callable[..., Any] | None, given: Sequence[str]) -> None:
        self.spec, self.given = spec, given
        self.computed: Mapping[str, tuple[str, ...]] = getattr(rows, "computed_from", {})

    def of(self, column: str) -> Sources:
        """Columns of the prediction table behind a column of the rows; none where that is not said."""
        names = self.computed.get(column, (column,) if column in self.given else ())
        return tuple((self.spec.prediction.table, name) for name in names)

    def behind_own(self, column: str) -> Sources:
        """Columns behind one that stands beside the features: the label's may have a table of their own."""
        label = self.spec.label
        if label.table is None or column not in label.facts:
            return self.of(column)
        names = {LABEL_KNOWN: [label.known_at], LABEL_EARLIER: [label.column, label.known_at]}
        return tuple((label.table, str(name)) for name in names.get(column, [label.column]))

    def behind(self, name: str, features: Mapping[str, DescribedFeature]) -> Iterator[tuple[str, str]]:
        """Columns behind a feature, or behind a request column that an on-demand feature reads."""
        feature = features.get(name)
        if feature is None:
            yield from self.of(name)
        elif feature.inputs:
            for source in feature.inputs:
                yield from self.behind(source, features)
        else:
            table = feature_table(self.spec.use_case, feature.view)
            yield from ((table, column) for column in (name, *feature.keys, EVENT_TIME))
            for key in (*feature.keys, self.spec.prediction.time):
                yield from self.of(key)
