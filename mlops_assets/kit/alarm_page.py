"""What the page of a partition's drift shows of its alarm: the outcome, the readings behind it, what moved the score, and pictures."""

from collections.abc import Mapping
from typing import Any

from mlops_assets.kit.metadata import frame_table, markdown_table
from mlops_assets.ml.reports.distributions import bars
from mlops_assets.ml.reports.sparklines import data_uri
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.drift_alarm import ALARM, COLUMNS, REMARK, strongest_readings
from mlops_assets.stages.drift_cause import CAUSE, cause_of, pictures
from mlops_assets.stages.loss_cause import loss_remark
from resources.lake.lake import Lake

SAID = {True: "alarm", False: "no alarm", None: "nothing said"}


def alarm_page(spec: ModelSpec, lake: Lake, name: str, notes: Mapping[str, Any]) -> dict[str, Any]:
    """The outcome in words; the readings it was decided by, the strongest first; of an alarm also its cause."""
    outcome = notes.get(ALARM)
    page: dict[str, Any] = {"drift alarm": f"{SAID[outcome]}: {notes.get(REMARK)}"}
    readings = strongest_readings(spec, lake, name) if outcome is not None else None
    if readings is not None:
        page["drift readings"] = frame_table(readings)
    loss = {"what moved the loss": loss_remark(spec, lake, name)}
    return {**page, **_cause(spec, lake, name, notes), **loss} if outcome else page


def _cause(spec: ModelSpec, lake: Lake, name: str, notes: Mapping[str, Any]) -> dict[str, Any]:
    parts = cause_of(spec, lake, name)
    if why := notes.get(CAUSE):
        return {"what moved the score": f"not attributed: {why}"}
    if CAUSE not in notes or parts is None:
        return {}
    columns, slices = parts
    first = list(dict.fromkeys([*notes[COLUMNS], *columns["column"].head(3)]))
    drawn = pictures(spec, lake, name, int(notes["reference version"]), first)
    then_and_now = [
        {
            "column": column,
            "then": f"![then]({data_uri(bars(before))})",
            "now": f"![now]({data_uri(bars(now))})",
        }
        for column, (before, now) in drawn.items()
    ]
    return {
        "what moved the score": frame_table(columns, 10),
        "slices that moved the score": frame_table(slices, 10),
        "then and now": markdown_table(then_and_now),
    }
