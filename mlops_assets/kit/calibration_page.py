"""What the page of a partition's performance shows of its calibration: what to do, a picture of now and before, and the slices."""

from collections.abc import Mapping
from typing import Any

from mlops_assets.kit.metadata import markdown_table, small_picture
from mlops_assets.ml.reports.sparklines import reliability
from mlops_assets.stages.calibrating import CALIBRATION


def calibration_page(notes: Mapping[str, Any]) -> dict[str, Any]:
    """The outcome in words, the observed rate by the predicted of the partition (blue) and those before (orange), and each slice."""
    note = notes.get(CALIBRATION)
    if not note:
        return {}
    before = f", {note['partitions before']} partitions before orange" if note["before"] else ""
    picture = small_picture(
        reliability(note["now"], note["before"]), f"observed by predicted: now blue{before}"
    )
    return {
        "calibration": note["remark"],
        "calibration now and before": picture,
        "calibration by slice": markdown_table(note["slices"]),
    }
