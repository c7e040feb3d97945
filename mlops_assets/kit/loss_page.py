"""What the page of a partition's performance shows of what moved the loss: the change in words, and the parts of slices and columns."""

from collections.abc import Mapping
from typing import Any

from mlops_assets.kit.metadata import markdown_table
from mlops_assets.stages.loss_cause import LOSS_CAUSE


def loss_page(notes: Mapping[str, Any]) -> dict[str, Any]:
    """The change or why it is not told; tables only where there is something in them."""
    note = notes.get(LOSS_CAUSE)
    if not note:
        return {}
    slices, columns = note.get("slices"), note.get("columns")
    page: dict[str, Any] = {"what moved the loss": note["remark"]}
    page |= {"columns that moved the loss": markdown_table(columns)} if columns else {}
    return page | ({"slices that moved the loss": markdown_table(slices)} if slices else {})
