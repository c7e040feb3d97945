"""Small pictures: short enough to stand in a page, honest about the numbers, and real SVG."""

import re
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.reports.sparklines import HEIGHT, LARGEST, WIDTH, curve, data_uri, sparklines

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(2, 400)


def rows(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    score = rng.random(size).round(rng.integers(1, 9))
    return (rng.random(size) < score).astype(float), score


def points(svg: str) -> list[tuple[float, float]]:
    line = re.search(r"points='([^']+)'", svg)
    assert line
    return [tuple(float(v) for v in pair.split(",")) for pair in line[1].split()]


@settings(max_examples=60)
@given(SEEDS, SIZES, st.sampled_from(["classification", "regression"]), st.floats(1e-3, 1e6))
def test_every_picture_is_short_enough_to_be_shown_in_place(seed, size, task, scale):
    y, score = rows(seed, size)
    factor = 1.0 if task == "classification" else scale
    for svg in sparklines(y * factor, score * factor - factor / 2, task).values():
        markdown = f"![actual_by_predicted]({data_uri(svg)})"
        assert len(markdown) < 1000
        assert not set(' ()<>"') & set(data_uri(svg))


@settings(max_examples=60)
@given(SEEDS, SIZES)
def test_every_point_lies_inside_the_picture(seed, size):
    y, score = rows(seed, size)
    for svg in sparklines(y, score, "classification").values():
        assert all(0 <= x <= WIDTH and 0 <= h <= HEIGHT for x, h in points(svg))
        ElementTree.fromstring(svg)


def test_the_address_decodes_to_the_same_picture():
    svg = sparklines(*rows(1, 300), "classification")["roc"]
    assert unquote(data_uri(svg).removeprefix("data:image/svg+xml,")) == svg


def test_a_calibrated_model_lies_on_the_diagonal():
    score = np.repeat(np.linspace(0.05, 0.95, 10), 100)
    y = np.concatenate([(np.arange(100) < share).astype(float) for share in range(5, 100, 10)])
    drawn = points(sparklines(y, score, "classification")["reliability"])
    exact = points(curve(score[::100], score[::100], 0.0, 0.95, "predicted", "observed"))
    assert drawn == exact


def test_a_roc_rises_from_no_alarm_to_all_alarms():
    drawn = points(sparklines(*rows(2, 400), "classification")["roc"])
    assert drawn == sorted(drawn, key=lambda p: (p[0], -p[1]))
    assert (drawn[0], drawn[-1]) == ((34.0, 126.0), (212.0, 8.0))


def test_rows_of_one_kind_have_no_roc():
    assert list(sparklines(np.ones(20), np.linspace(0, 1, 20), "classification")) == ["reliability"]


def test_a_picture_that_a_page_would_hide_is_refused_with_its_size():
    with pytest.raises(ValueError, match=rf"takes \d+ characters, at most {LARGEST}"):
        data_uri("<svg>" + "x" * 1000)
