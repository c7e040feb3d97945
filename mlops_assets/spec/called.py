"""How a `prediction.rows` function may be called beside with a frame: with the values of one request."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Rows = TypeVar("Rows", bound=Callable[..., Any])
OneRow = Callable[[Mapping[str, Any]], dict[str, Any]]


def by_row(function: OneRow) -> Callable[[Rows], Rows]:
    """Give a rows function its twin for one row, which an endpoint calls instead where it can.

    The twin takes the values of a request by name, moments in UTC, with the moment of the prediction in the column of that.
    It gives every column by which features are found or computed, and those of the row that are features themselves, with
    the values that the rows function gives. The endpoint compares the two when it loads a model.
    """

    def said(rows: Rows) -> Rows:
        vars(rows)["one_row"] = function
        return rows

    return said
