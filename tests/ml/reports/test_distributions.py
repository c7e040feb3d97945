"""Distributions: every value is in a bar, the numbers are those of the column, and the picture fits into a table."""

import math
import re
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.reports.distributions import BARS, HEIGHT, WIDTH, bars, distributions, histogram
from mlops_assets.ml.reports.sparklines import LARGEST

NUMBERS = st.lists(st.floats(-1e9, 1e9, width=32) | st.integers(-3, 3), min_size=1, max_size=300)


def row(values: list, dtype: type[pl.DataType] = pl.Float64, **options) -> dict[str, str]:
    [found] = distributions(pl.DataFrame({"c": pl.Series(values, dtype=dtype)}), **options)
    return found


def drawn(values: str) -> ElementTree.Element:
    address = re.fullmatch(r"!\[c\]\(data:image/svg\+xml,(.+)\)", values)
    assert address
    return ElementTree.fromstring(unquote(address[1]))


@settings(max_examples=80)
@given(NUMBERS)
def test_every_value_is_in_one_bar(values):
    counts = histogram(np.sort(np.array(values, dtype=np.float64)))
    assert counts.sum() == len(values)
    assert 1 <= len(counts) <= BARS
    assert (counts >= 0).all()


@settings(max_examples=80)
@given(NUMBERS)
def test_the_order_of_rows_does_not_matter(values):
    assert row(values) == row(values[::-1])


@settings(max_examples=80)
@given(NUMBERS)
def test_the_picture_fits_into_a_table_and_stays_in_its_frame(values):
    found = row(values)
    assert len(found["values"]) < LARGEST
    assert "|" not in found["values"]
    [path] = drawn(found["values"])
    heights = [int(y) for y in re.findall(r"V(\d+)", path.attrib["d"])]
    widths = [int(x) for x in re.findall(r"h(\d+)", path.attrib["d"])]
    assert all(0 <= y <= HEIGHT for y in heights)
    assert min(heights) == 0
    assert sum(widths) <= WIDTH


def test_the_numbers_are_those_of_the_column():
    found = row([None, 1.0, 2.5, 4.0, 1234.0, None, None, None])
    assert {name: found[name] for name in ("missing", "min", "median", "max")} == {
        "missing": "50.0%",
        "min": "1",
        "median": "3.25",
        "max": "1234",
    }


def test_numbers_are_short_and_years_are_years():
    found = row([1956.0, 2001.4, 2013.0])
    assert (found["missing"], found["min"], found["median"], found["max"]) == ("0%", "1956", "2001", "2013")
    assert row([-0.000123456, 1_234_567.8])["min"] == "-0.000123"
    assert row([1_234_567.8])["max"] == "1,234,568"


def test_few_whole_numbers_have_a_bar_each():
    assert histogram(np.array([0, 0, 0, 1, 2, 2, 3.0])).tolist() == [3, 1, 2, 1]
    assert histogram(np.array([7.0] * 5)).tolist() == [5]


def test_what_lies_far_out_does_not_flatten_the_rest():
    values = np.sort(np.concatenate([np.linspace(0, 10, 1000), [1e6]]))
    counts = histogram(values)
    assert counts.sum() == 1001
    assert counts.max() < 110


def test_a_bar_that_is_not_empty_can_be_seen():
    heights = [int(y) for y in re.findall(r"V(\d+)h", bars(np.array([10_000, 1, 0])))]
    assert heights == [0, HEIGHT - 1, HEIGHT]


@pytest.mark.parametrize("values", [[], [None, None], [math.nan], [math.inf, -math.inf]])
def test_a_column_without_numbers_says_so(values):
    found = row(values)
    assert (found["values"], found["min"], found["median"], found["max"]) == ("-", "-", "-", "-")


def test_text_names_its_most_frequent_values():
    found = row(["UA"] * 5 + ["B6"] * 3 + ["AA", "DL", None, None], pl.String)
    assert found["values"] == "UA 50%, B6 30%, AA 10%, 1 more"
    assert found["missing"] == "16.7%"
    assert row([True, True, None, False], pl.Boolean)["values"] == "true 67%, false 33%"


def test_moments_are_shown_as_such():
    found = row([1_357_563_600, 1_357_567_200], pl.Int64, unix_seconds=["c"])
    assert (found["min"], found["max"]) == ("2013-01-07 13:00", "2013-01-07 14:00")


def test_keys_and_times_are_left_out():
    frame = pl.DataFrame({"key": ["a"], "value": [1.0]}).with_columns(
        at=pl.lit(0).cast(pl.Datetime("us", "UTC"))
    )
    assert [row["column"] for row in distributions(frame, skip=["key"])] == ["value"]
