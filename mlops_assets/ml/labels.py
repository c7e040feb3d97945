"""Which rows count at a moment, and by what label: late, early, corrected and missing ones, without a bias by speed."""

from datetime import UTC, datetime, timedelta

import polars as pl

from mlops_assets.spec.columns import LABEL_EARLIER, LABEL_KNOWN
from mlops_assets.spec.model import ModelSpec

VALUE, KNOWN = "value", "known"
"""Fields of an outcome that was corrected since."""

FOR_EVER = timedelta(0)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Labels:
    """What is known of the rows' labels at `now`, as expressions over a frame of that schema.

    A label counts by its newest outcome that was known by then, and no row counts before its horizon has passed.
    """

    def __init__(self, schema: pl.Schema, spec: ModelSpec, now: datetime) -> None:
        self.label, self.now = spec.label, _literal(now)
        self._time = pl.col(spec.prediction.time)
        self._float = schema[spec.label.column].is_float()
        late = pl.col(LABEL_KNOWN) > self.now
        before = pl.col(LABEL_EARLIER).list.filter(pl.element().struct.field(KNOWN) <= self.now).list.last()
        value, known = pl.col(spec.label.column), known_at(spec)
        if LABEL_EARLIER in spec.label.facts:
            value = pl.when(late).then(before.struct.field(VALUE)).otherwise(value)
            known = pl.when(late).then(before.struct.field(KNOWN)).otherwise(known)
        self.value, self.known = value, known

    @property
    def has(self) -> pl.Expr:
        """Rows with a label, known or not."""
        return self.value.is_not_null() & (self.value.is_not_nan() if self._float else True)

    @property
    def is_known(self) -> pl.Expr:
        """Rows whose label, if they have one, is known."""
        return (self.known <= self.now).fill_null(value=False)

    @property
    def matured(self) -> pl.Expr | None:
        """Rows whose whole horizon has passed; None where there is none."""
        waits = self.label.waits
        return None if waits is None else self._time + waits < self.now

    @property
    def happened(self) -> pl.Expr:
        """For an event within a span: rows of which it was known by the end of that span, corrections counted whenever known."""
        assert self.label.within is not None
        in_time = (self._first_known <= self._time + self.label.within).fill_null(value=False)
        return self.has & self.is_known & in_time

    @property
    def usable(self) -> pl.Expr:
        """Rows that may be trained on, judged and reported: once the horizon has passed, whatever did not happen counts too."""
        if self.matured is None:
            return self.has & self.is_known
        return self.matured if self.label.within else self.matured & self.has & self.is_known

    @property
    def number(self) -> pl.Expr:
        """Classification: 1 where the label exceeds `label.above`, or is true; regression: the value; 0 for no event."""
        value = self.value if self.label.above is None else self.value > self.label.above
        if self.label.within:
            value = pl.when(self.happened).then(value.cast(pl.Float64)).otherwise(0.0)
        return value.cast(pl.Float32)

    @property
    def corrected(self) -> pl.Expr:
        """Rows whose label is another than the first that was known."""
        if LABEL_EARLIER not in self.label.facts:
            return pl.lit(value=False)
        first = pl.col(LABEL_EARLIER).list.first().struct.field(VALUE)
        return (first != self.value).fill_null(value=False)

    @property
    def to_come(self) -> pl.Expr:
        """Rows that time alone will change: their horizon, or an outcome that is in the table, lies ahead."""
        moments = [name for name in (self.label.known_at, LABEL_KNOWN) if name in self.label.facts]
        ahead = [(pl.col(name) > self.now).fill_null(value=False) for name in moments]
        has = pl.col(self.label.column).is_not_null()
        young = [~self.matured] if self.matured is not None else []
        return pl.any_horizontal(*young, *(has & one for one in ahead), pl.lit(value=False))

    @property
    def _first_known(self) -> pl.Expr:
        if LABEL_EARLIER not in self.label.facts:
            return self.known
        return pl.coalesce(pl.col(LABEL_EARLIER).list.first().struct.field(KNOWN), pl.col(LABEL_KNOWN))


def _literal(now: datetime) -> pl.Expr:
    """A moment with a zone; polars' own literal of one takes a quarter of a millisecond, and each partition asks some ten."""
    return pl.lit((now - EPOCH) // timedelta(microseconds=1)).cast(pl.Datetime("us", "UTC"))


def known_at(spec: ModelSpec) -> pl.Expr:
    """The moment at which a row's label became known: its column's, or so long after the prediction."""
    label = spec.label
    if label.known_at:
        return pl.col(LABEL_KNOWN if label.table else label.known_at)
    return pl.col(spec.prediction.time) + (label.waits or FOR_EVER)


def usable_from(spec: ModelSpec) -> pl.Expr:
    """The moment from which on a row that counts did so."""
    label, known = spec.label, known_at(spec)
    if label.waits is None:
        return known
    matured = pl.col(spec.prediction.time) + label.waits + timedelta(microseconds=1)
    return matured if label.within else pl.max_horizontal(matured, known)


def not_binary(values: pl.Series) -> list[str]:
    """Values that are neither 0 nor 1, true nor false, as texts, a few of them."""
    if values.dtype == pl.Boolean:
        return []
    others = values.drop_nulls().unique().sort()
    if others.dtype.is_numeric():
        numbers = others.cast(pl.Float64)
        others = others.filter((numbers != 0) & (numbers != 1) & numbers.is_not_nan())
    return [str(value) for value in others.head(5).to_list()]
