"""Whether a partition's scores are calibrated: the figures of its report, what is shown by slice, and the picture of now and before."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mlops_assets.ml.monitoring.calibration import CALIBRATION_COLUMNS, by_slice, calibration, verdict
from mlops_assets.ml.reports.sparklines import tenths
from mlops_assets.spec.columns import CLUSTER, LABEL, SCORE
from mlops_assets.spec.model import ModelSpec

CALIBRATION = "calibration"
"""The note of a report: in words what is shown and what to do, a line for each slice, and the tenths of now and of the partitions before."""

UNDEFINED = "not reported: it takes labelled rows of at least two days, of both classes, with scores that differ and overlap"


def calibration_columns(spec: ModelSpec, judged: pl.DataFrame) -> dict[str, float | None]:
    """The figures of a report on labelled rows [LABEL, SCORE and the prediction's time]; None where undefined, none of a regression."""
    if spec.task != "classification":
        return {}
    one = calibration(*_arrays(spec, judged))
    return dict(one.row()) if one else dict.fromkeys(CALIBRATION_COLUMNS)


def calibration_note(
    spec: ModelSpec, judged: pl.DataFrame, before: Mapping[str, pl.DataFrame]
) -> dict[str, Any]:
    """The note of a report on labelled rows, beside those of partitions before it [LABEL, SCORE]; none of a regression or without a row."""
    if spec.task != "classification" or not judged.height:
        return {}
    alpha, one = spec.gate.alpha, calibration(*_arrays(spec, judged))
    earlier = [rows for rows in before.values() if rows.height]
    return {
        CALIBRATION: {
            "remark": verdict(one, alpha, spec.name) if one else UNDEFINED,
            "slices": by_slice(judged.with_columns(prediction_days(spec, judged)), spec.slices, alpha),
            "now": _tenths(judged),
            "before": _tenths(pl.concat(earlier)) if earlier else None,
            "partitions before": len(earlier),
        }
    }


def _arrays(spec: ModelSpec, judged: pl.DataFrame) -> tuple[Any, Any, Any]:
    return judged[LABEL].to_numpy(), judged[SCORE].to_numpy(), prediction_days(spec, judged).to_numpy()


def prediction_days(spec: ModelSpec, judged: pl.DataFrame) -> pl.Series:
    """The local day of each row's prediction, as a number, whatever the gate's cluster is: a partition may be one of those alone."""
    local = judged[spec.prediction.time].dt.convert_time_zone(spec.calendar.timezone).dt.date()
    return local.to_physical().alias(CLUSTER)


def _tenths(rows: pl.DataFrame) -> list[list[float]]:
    return [part.tolist() for part in tenths(rows[LABEL].to_numpy(), rows[SCORE].to_numpy())]
