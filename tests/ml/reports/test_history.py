"""The picture of the last partitions: what is drawn is what is known, whole within the picture, and the same for the same numbers."""

import re
import xml.etree.ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.reports.history import MOST, Point, picture, promotions, small_picture
from mlops_assets.ml.reports.sparklines import data_uri

VALUES = st.none() | st.floats(-1e4, 1e4, allow_nan=False)
POINTS = st.lists(
    st.builds(
        Point,
        partition=st.sampled_from(["2024-01-08", "2024-W03", "a<b>&'\""]),
        value=VALUES,
        low=VALUES,
        high=VALUES,
        reference=VALUES,
        version=st.none() | st.integers(1, 3),
        alarm=st.booleans(),
    ),
    max_size=40,
)
FEW = settings(max_examples=40, deadline=None)
SVG = "{http://www.w3.org/2000/svg}"


def elements(svg: str, tag: str) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter(f"{SVG}{tag}"))


def places(svg: str) -> list[tuple[float, float]]:
    """Every point of the line through the values."""
    path = next(one for one in elements(svg, "path") if one.get("stroke-width") == "2")
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path.get("d") or "")]


@FEW
@given(POINTS, VALUES, VALUES)
def test_whatever_is_known_both_pictures_are_whole_repeat_to_the_byte_and_stay_within_their_edges(
    points, floor, anchor
):
    limits = {"floor": floor, "anchor": anchor}
    large, small = picture(points, "auc", limits), small_picture(points, "auc", floor)
    assert large == picture(list(points), "auc", dict(limits))
    assert small == small_picture(list(points), "auc", floor)
    data_uri(small)
    for svg, width, height in ((large, 760, 300), (small, 240, 96)):
        assert all(0 <= x <= width and 0 <= y <= height for x, y in places(svg))
        assert "nan" not in svg


@FEW
@given(POINTS)
def test_each_known_value_of_the_last_partitions_is_a_point_and_each_alarm_a_ring(points):
    svg = picture(points, "auc", {})
    known = [point for point in points[-MOST:] if point.value is not None]
    circles = [one.get("r") for one in elements(svg, "circle")]
    assert circles.count("3") == len(known) == len(places(svg))
    first = next((i for i, point in enumerate(points[-MOST:]) if point.value is not None), None)
    drawn = points[-MOST:][first:] if first is not None else []
    assert circles.count("7") == sum(point.alarm for point in drawn)


@given(st.lists(st.floats(-100, 100).map(lambda v: round(v, 3)), min_size=2, max_size=20, unique=True))
@FEW
def test_a_larger_value_stands_higher(values):
    points = [Point(f"{place:02}", value) for place, value in enumerate(values)]
    drawn = places(picture(points, "auc", {}))
    by_value = [y for _, (_, y) in sorted(zip(values, drawn, strict=True))]
    assert by_value == sorted(by_value, reverse=True)
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)


def test_a_promotion_is_marked_where_another_version_answers_and_not_at_the_first():
    versions = [None, 1, 1, None, 1, 2, 2, 5]
    points = [Point(f"{place}", 0.5, version=version) for place, version in enumerate(versions)]
    assert promotions(points) == [(5, 2), (7, 5)]
    told = ["".join(one.itertext()) for one in elements(picture(points, "auc", {}), "text")]
    assert [text for text in told if text.startswith("v")] == ["v2", "v5"]


def test_lines_that_lie_on_each_other_have_names_apart():
    points = [Point("2024-01-08", 0.5, reference=0.61), Point("2024-01-15", 0.7, reference=0.61)]
    texts = elements(picture(points, "auc", {"floor": 0.6, "anchor": 0.61}), "text")
    heights = [
        float(one.get("y") or 0) for one in texts if (one.text or "").startswith(("floor", "anchor", "when"))
    ]
    assert len(heights) == 3
    assert all(
        below - above >= 12.9 for above, below in zip(sorted(heights), sorted(heights)[1:], strict=False)
    )
