"""When rows count: from the spec alone, how old they are by then, and where a moment divides them.

A day of a horizon has 24 hours; days of the window are days of the model's own calendar.
"""

from datetime import datetime, timedelta

from mlops_assets.spec.model import ModelSpec


def judged_age(spec: ModelSpec) -> timedelta:
    """How old the newest row that can be judged is when a partition has just ended; up to a partition more before the next.

    Zero where labels are said to be known at once: with `label.known_at` alone the spec does not say how late they are.
    """
    return spec.label.waits or timedelta(0)


def matured_until(spec: ModelSpec, now: datetime) -> datetime:
    """The moment before which predictions have their whole horizon behind them at `now`."""
    return now - judged_age(spec)


def held_out_from(spec: ModelSpec, now: datetime) -> datetime:
    """The moment from which rows are kept from a challenger: the newest days of those whose horizon has passed."""
    return spec.calendar.days_before(matured_until(spec, now), spec.window.hold_out_days)


def window_start(spec: ModelSpec, now: datetime) -> datetime | None:
    """The moment before which rows are too old to train on; None where none are."""
    return spec.calendar.days_before(matured_until(spec, now), spec.window.days) if spec.window.days else None


def days_of_waiting(spec: ModelSpec) -> int:
    """Whole days, rounded up, that the newest rows are too young to count."""
    return -(-judged_age(spec) // timedelta(days=1))
