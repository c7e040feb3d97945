"""Whether a partition raises a drift alarm: its readings, and those of the partitions before it, against the champion's history.

What is read of a partition is stored as the table `<model>/alarms`, so that the next one reads no rows of it again. What
a version's alarms are calibrated on is its training window; where that is too short, partitions before it, and then the
first ones after it, of which none is an alarm.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.ml.monitoring.alarms import Outcome, strongest, watched
from mlops_assets.ml.monitoring.readings import Readings, readings
from mlops_assets.ml.monitoring.run_length import Calibration, calibrated, partitions_needed
from mlops_assets.ml.provenance.code_digest import code_digest
from mlops_assets.ml.provenance.digest import digest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.judging import attempt_name
from resources.lake.briefs import briefs
from resources.lake.lake import Lake
from resources.records.attempts import Attempt
from resources.records.documents import load_record

ALARM, COLUMNS, REMARK = "alarm", "alarm_columns", "alarm_remark"
"""Notes of a partition's drift: true, false or None where nothing is said; the columns behind an alarm; all of it in words."""

VALUE, THRESHOLD, EVERY = "alarm_value", "alarm_threshold", "alarm_false_every"
"""Notes beside them: the statistic, the threshold, and the partitions in which chance alone raises one, as calibrated."""

VERSION, LONGEST_HISTORY = "version", 366
ROWS_AT_ONCE, DAYS_APART = 500_000, 10_000_000
FIGURES, DECIDES = ("threshold", "every", "days", "partitions"), "decides"
CODE = ("mlops_assets.ml.monitoring.run_length:calibrated", "mlops_assets.ml.monitoring.readings:readings")
NOTHING = {ALARM: None, COLUMNS: [], VALUE: None, THRESHOLD: None, EVERY: None}


def alarm_of(notes: Mapping[str, Any]) -> bool | None:
    """Whether a drift report raised an alarm; as long as the model's alarms are not calibrated, whether its scores moved beyond the limit of PSI."""
    alarm = notes.get(ALARM)
    return notes.get("prediction_drifted") if alarm is None else alarm


@dataclass(frozen=True)
class Basis:
    """The partitions that a version's alarms are calibrated on, how many are needed, and those watched since."""

    history: Sequence[str]
    needed: int
    watched: Sequence[str]


def alarm_table(spec: ModelSpec) -> str:
    """Where the readings of each partition lie in the lake."""
    return f"{spec.name}/alarms"


def joined_table(spec: ModelSpec) -> str:
    """Where the rows that are read lie."""
    return f"{spec.name}/training_set"


def alarm_basis(spec: ModelSpec, lake: Lake, name: str, version: int) -> Basis | None:
    """What the alarm of a partition rests on; None where alarms are off, or no evaluation on record led to the version."""
    trained = trained_at(spec, lake, version) if spec.drift.false_alarm_every else None
    if trained is None:
        return None
    there = _readable(spec, lake, trained)
    needed = partitions_needed(_days(spec, trained))
    before, after = [p for p in there if p <= trained], [p for p in there if trained < p < name]
    window = sum(_in_window(spec, one, trained) for one in before)
    most = max(needed, round(LONGEST_HISTORY / _days(spec, trained)))
    history = before[-min(max(window, needed), most) :]
    history += after[: max(0, needed - len(history))]
    seen = [p for p in _of_version(spec, lake, name, version) if history and p > history[-1]]
    return Basis(history, needed, seen)


def rests_on(spec: ModelSpec, lake: Lake, name: str, version: int) -> list[Any]:
    """What decides a partition's alarm beside the partition itself: a digest of its history's hashes, and the hashes of what was watched since."""
    basis = alarm_basis(spec, lake, name, version)
    if basis is None:
        return []
    rows, read = briefs(lake, joined_table(spec)), briefs(lake, alarm_table(spec))
    history = _sealed(tuple((one, rows[one].sha256) for one in basis.history))
    return [history, {one: read[one].sha256 for one in basis.watched}]


@lru_cache(maxsize=16)
def _sealed(hashes: tuple[tuple[str, str], ...]) -> str:
    """One digest for the partitions that a version's alarms rest on; the version's reports all have the same."""
    return digest(hashes)


def write_alarm(
    spec: ModelSpec, lake: Lake, name: str, version: int, profile: Mapping[str, Any]
) -> dict[str, Any]:
    """Read a partition, compare it, write its readings, and return what is noted of its alarm."""
    basis = alarm_basis(spec, lake, name, version)
    if basis is None:
        off = "off: drift.false_alarm_every is null" if spec.drift.false_alarm_every is None else ""
        return {**NOTHING, REMARK: off or f"not calibrated: no evaluation on record led to version {version}"}
    now = read_partitions(spec, lake, [name], profile)
    columns, what = zip(*now.names, strict=True)
    table = pl.DataFrame({"column": columns, "reading": what, "value": now.means})
    calibration = _calibration(spec, lake, version, basis, profile)
    if calibration is None or not basis.history or name <= basis.history[-1]:
        notes = {**NOTHING, REMARK: _why_nothing(basis, version)}
    else:
        outcome = _outcome(spec, lake, basis, calibration, now)
        table = table.with_columns(**_columns_of(outcome, calibration))
        notes = noted(outcome, calibration, now.names)
    lake.write(alarm_table(spec), table, name, notes={VERSION: version})
    return notes


def _why_nothing(basis: Basis, version: int) -> str:
    if len(basis.history) < basis.needed:
        so_far = f"{len(basis.history)} of {basis.needed} partitions of history"
        return f"not calibrated yet: {so_far} for version {version}"
    return f"part of the history that alarms of version {version} are calibrated on"


def _columns_of(outcome: Outcome, calibration: Calibration) -> dict[str, pl.Series]:
    return {
        "mean": pl.Series(calibration.means),
        "deviation": pl.Series(calibration.deviations),
        "effect": pl.Series(outcome.effects),
        "partitions": pl.Series(outcome.since).cast(pl.Int64),
        "strength": pl.Series(outcome.strength),
    }


def noted(outcome: Outcome, calibration: Calibration, names: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The notes of an alarm, or of none."""
    figures = strongest(outcome, names, calibration.threshold) if outcome.alarm else []
    rate = f"one false alarm in {calibration.every:.0f} partitions, by {calibration.partitions} of history"
    said = f"{outcome.statistic:.1f} {'over' if outcome.alarm else 'within'} the threshold of {calibration.threshold:.1f} ({rate})"
    each = [
        f"{column} ({what}) {outcome.effects[place]:+.3f} over {outcome.since[place]:.0f} partitions"
        for column, what, place in figures
    ]
    return {
        ALARM: outcome.alarm,
        COLUMNS: list(dict.fromkeys(column for column, _, _ in figures)),
        VALUE: outcome.statistic,
        THRESHOLD: calibration.threshold,
        EVERY: calibration.every,
        REMARK: "; ".join([said, *each]),
    }


def strongest_readings(spec: ModelSpec, lake: Lake, name: str) -> pl.DataFrame | None:
    """The readings of a partition that its alarm was decided by, the strongest first; None where nothing was decided."""
    table = alarm_table(spec)
    if not lake.exists(table, name) or "strength" not in lake.manifest(table, name).columns:
        return None
    return lake.read(table, [name]).sort("strength", "column", "reading", descending=[True, False, False])


def trained_at(spec: ModelSpec, lake: Lake, version: int) -> str | None:
    """The partition at whose end a version was trained, by the evaluation that led to it; None where none is on record."""
    for partition in reversed(lake.records(f"{spec.name}/attempts")):
        attempt = load_record(lake, Attempt, attempt_name(spec, partition))
        if attempt and attempt.final and attempt.final.version == version:
            return partition
    return None


def read_partitions(
    spec: ModelSpec, lake: Lake, names: Sequence[str], profile: Mapping[str, Any]
) -> Readings:
    """The readings of partitions' rows by day, in the time zone of the calendar; a day that two of them share is two."""
    time, known = spec.prediction.time, briefs(lake, joined_table(spec))
    columns = list(dict.fromkeys([time, *profile["columns"]]))
    parts = []
    for some in _batches(names, [known[one].rows for one in names]):
        rows = lake.read(joined_table(spec), some, columns)
        day = rows[time].dt.convert_time_zone(spec.calendar.timezone).dt.date().to_physical().cast(pl.Int64)
        place = np.repeat(np.arange(len(some)), [known[one].rows for one in some])
        parts.append(readings(profile, rows, pl.Series(place * DAYS_APART) + day))
    return Readings.joined(parts)


def _batches(names: Sequence[str], rows: Sequence[int]) -> Iterator[list[str]]:
    """The names in turn, as many at once as have ROWS_AT_ONCE rows together; one alone may have more."""
    batch, height = list[str](), 0
    for name, its in zip(names, rows, strict=True):
        if batch and height + its > ROWS_AT_ONCE:
            yield batch
            batch, height = [], 0
        batch.append(name)
        height += its
    yield batch


def _calibration(
    spec: ModelSpec, lake: Lake, version: int, basis: Basis, profile: Mapping[str, Any]
) -> Calibration | None:
    """What the version's chart compares with, stored in the lake for as long as history, rules and code are the same."""
    every, effect = spec.drift.false_alarm_every, spec.drift.minimum_effect
    if every is None or len(basis.history) < basis.needed:
        return None
    table, name, rows = f"{spec.name}/alarm_calibrations", f"{version:06d}", briefs(lake, joined_table(spec))
    hashes = tuple((one, rows[one].sha256) for one in basis.history)
    decides = digest([code_digest(CODE), _sealed(hashes), dict(profile), every, effect, spec.trainer.seed])
    stored: Mapping[str, Any] | None = lake.manifest(table, name).notes if lake.exists(table, name) else None
    if stored is None or stored.get(DECIDES) != decides:
        history, count = read_partitions(spec, lake, basis.history, profile), len(basis.history)
        days = sum(_days(spec, one) for one in basis.history) / count
        figures = calibrated(history, count, days, every, effect, spec.trainer.seed)
        frame = pl.DataFrame({"mean": figures.means, "deviation": figures.deviations})
        stored = {DECIDES: decides, **{one: getattr(figures, one) for one in FIGURES}}
        lake.write(table, frame, name, notes=stored)
    frame = lake.read(table, [name])
    numbers = frame["mean"].to_numpy(), frame["deviation"].to_numpy()
    return Calibration(*numbers, **{one: stored[one] for one in FIGURES})


def _outcome(spec: ModelSpec, lake: Lake, basis: Basis, calibration: Calibration, now: Readings) -> Outcome:
    """The chart over all partitions watched up to now."""
    before = [lake.read(alarm_table(spec), [one], ["value"])["value"].to_numpy() for one in basis.watched]
    effect = spec.drift.minimum_effect
    chart = watched(
        np.vstack([*before, now.means]),
        calibration.means,
        calibration.deviations,
        effect,
        calibration.threshold,
    )
    return chart[-1]


def _readable(spec: ModelSpec, lake: Lake, trained: str) -> list[str]:
    """The joined partitions that have rows and every column of the one that the version was trained at the end of."""
    table = joined_table(spec)
    known = briefs(lake, table)
    needed = known[trained].columns if trained in known else frozenset()
    there = [one for one in lake.partitions(table) if one in known]
    return [one for one in there if known[one].rows and needed <= known[one].columns]


def _of_version(spec: ModelSpec, lake: Lake, name: str, version: int) -> list[str]:
    """The partitions before this one, up to the newest that was compared with another version, oldest first."""
    known = briefs(lake, alarm_table(spec))
    before = [p for p in lake.partitions(alarm_table(spec)) if p < name and p in known]
    others = (n for n in range(len(before), 0, -1) if known[before[n - 1]].notes.get(VERSION) != version)
    return before[next(others, 0) :]


def _days(spec: ModelSpec, name: str) -> float:
    span = spec.calendar.partition(name)
    return max((span.end - span.start).total_seconds() / 86_400, 1e-6)


def _in_window(spec: ModelSpec, name: str, newest: str) -> bool:
    days, calendar = spec.window.days, spec.calendar
    if days is None:
        return True
    return calendar.partition(name).end > calendar.days_before(calendar.partition(newest).end, days)
