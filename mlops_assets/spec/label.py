"""What is to be predicted: where the label stands, and when it counts.

Labels come late, early, corrected or never. What decides that a row may be trained on, judged and reported is said here
in one of three ways: the moment in a column, a delay after the prediction, or a span within which something happens.
"""

from datetime import timedelta
from operator import not_
from typing import Self

import pydantic
from pydantic import Field

from mlops_assets.spec.base import Duration, Part, duration_text
from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.columns import LABEL_EARLIER, LABEL_KNOWN
from mlops_assets.spec.use_case import in_use_case

MONTHS = 12


class Label(Part):
    """What really happened: a column of the prediction table, or of a table of its own that is joined by the prediction's key.

    No row counts by the speed of its label: with `delay`, `within` or `horizon`, a row is trained on, judged and reported
    only once that span has passed since its prediction, even where its own label came sooner. Without any of them, labels
    are taken to be known at once, each at its own moment: where one outcome is known sooner than another, say `horizon`.
    In a table of its own, a key with two outcomes is a correction: the newest that was known at the asked moment counts.
    What is not said is not in the content of a spec, so that one from before it could be said has the content that it had.
    """

    column: str = Field(description="The label; null where it is not known, or never will be.")
    table: str | None = Field(
        default=None,
        exclude_if=not_,
        pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$",
        description="Lake table that the label stands in, with the prediction's key; the prediction table by default.",
    )
    known_at: str | None = Field(
        default=None,
        exclude_if=not_,
        description="UTC column, in the label's table, with the moment the label became known.",
    )
    delay: Duration | None = Field(
        default=None, exclude_if=not_, description="The label is known so long after the prediction: 30d, 6h."
    )
    within: Duration | None = Field(
        default=None,
        exclude_if=not_,
        description="The label is an event within this span after the prediction. One that is not known by then did not "
        "happen (0); `known_at` says when one that did was known.",
    )
    horizon: Duration | None = Field(
        default=None,
        exclude_if=not_,
        description="Beside `known_at`: how long after the prediction labels should be known. Later ones still count.",
    )
    above: float | None = Field(
        default=None,
        description="Classification: positive means the column exceeds this; a label of 0 and 1 needs none.",
    )

    @pydantic.field_validator("table")
    @classmethod
    def _is_of_the_use_case(cls, value: str | None) -> str | None:
        return value and in_use_case(value)

    @property
    def waits(self) -> timedelta | None:
        """How long after its prediction a row counts at the earliest; None where each label's own moment decides."""
        return self.delay or self.within or self.horizon

    @property
    def facts(self) -> tuple[str, ...]:
        """The columns of a training set that hold the label, and when it became known."""
        if self.table is None:
            return (self.column, *([self.known_at] if self.known_at else []))
        return (self.column, *([LABEL_KNOWN, LABEL_EARLIER] if self.known_at else []))

    @property
    def named_columns(self) -> tuple[tuple[str, str], ...]:
        """The columns that the spec names, each with the field that names it."""
        named = (("label.column", self.column), ("label.known_at", self.known_at))
        return tuple((field, name) for field, name in named if name)

    @pydantic.model_validator(mode="after")
    def _has_one_meaning(self) -> Self:
        spans = {"delay": self.delay, "within": self.within, "horizon": self.horizon}
        if zero := next((name for name, value in spans.items() if value is not None and not value), None):
            raise ValueError(f"label.{zero}=0s is no span: give one above 0s, or label.known_at alone")
        given = [f"label.{name}={duration_text(value)}" for name, value in spans.items() if value]
        if len(given) > 1:
            raise ValueError(
                f"{' and '.join(given)} say twice when a row counts: keep one (delay: the label is known so long after the "
                "prediction; within: it is an event in that span; horizon: known_at says when, and this by when)"
            )
        if self.delay and self.known_at:
            raise ValueError(
                f"label.delay={duration_text(self.delay)} and label.known_at={self.known_at} say twice when the label is known: "
                "keep known_at where a column has the moment (and call the span horizon), else delay"
            )
        if not given and not self.known_at:
            raise ValueError(
                "nothing says when the label is known: give label.known_at (a column), label.delay or label.within (30d)"
            )
        if self.horizon and not self.known_at:
            raise ValueError(
                f"label.horizon={duration_text(self.horizon)} says by when labels are known and no label.known_at says when each "
                "is: name that column, or call the span delay"
            )
        return self


def label_fits(label: Label, task: str) -> str | None:
    """That a regression has a threshold, or None."""
    if label.above is None or task == "classification":
        return None
    return (
        f"label.above={label.above:g} does not fit task {task}: it cuts a label into positive and negative, which a "
        "regression does not; leave it out"
    )


def longest_partition(calendar: Calendar) -> float:
    """Days of the longest of a year's partitions, or of the first ones where they are shorter than a month."""
    spans, name = [calendar.first], calendar.next(calendar.first.name)
    while name and len(spans) < MONTHS:
        spans.append(calendar.partition(name))
        name = calendar.next(name)
    return max(calendar.days_between(span.start, span.end) for span in spans)


def labels_come_in_time(label: Label, minimum_days: int, calendar: Calendar) -> str | None:
    """That a calendar ends before enough rows can count, or None: days of history are those whose labels have had their time."""
    start, end, waits = calendar.start, calendar.end, label.waits or timedelta(0)
    if end is None:
        return None
    available = (end - start).days
    if timedelta(days=minimum_days) + waits <= timedelta(days=available):
        return None
    return (
        f"window.minimum_days={minimum_days} and the {duration_text(waits)} that labels take are longer than the "
        f"{available} days of the calendar, {start} to {end}: the model would never be trained; a row counts once that span has "
        "passed, so shorten one of them"
    )
