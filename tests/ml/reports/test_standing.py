"""What needs hands stands on top, what is not known is a dash, and every line fits a terminal."""

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.reports.standing import WIDTH, as_text, in_order, overdue, overview
from resources.records.standing import Platform, PlatformStatus
from resources.records.standing_words import headline, lines
from tests.standings import PLATFORMS, STANDINGS, unknown

FEW = settings(max_examples=40, deadline=None)


@FEW
@given(PLATFORMS)
def test_those_that_need_hands_come_first_and_each_group_by_name(platform):
    ordered = in_order(platform.models)
    assert sorted(one.model for one in ordered) == sorted(one.model for one in platform.models)
    asked = [bool(one.needs_hands) for one in ordered]
    assert asked == sorted(asked, reverse=True)
    for urgent in (True, False):
        names = [one.model for one in ordered if bool(one.needs_hands) == urgent]
        assert names == sorted(names)


@FEW
@given(PLATFORMS)
def test_a_document_brings_back_what_was_described(platform):
    document = json.loads(json.dumps(PlatformStatus.of_platform(platform).document(), allow_nan=False))
    assert PlatformStatus.of(document, "a test").platform() == platform
    before = document | {
        "record_version": 1,
        "models": [one | {"errors_24h": None} for one in document["models"]],
    }
    assert PlatformStatus.of(before, "an earlier release").platform() == platform


@FEW
@given(PLATFORMS, st.booleans())
def test_every_reason_is_told_once_on_top_and_every_line_that_can_be_wrapped_fits(platform, detail):
    told = list(as_text(Platform(platform.asked_at, in_order(platform.models), platform.waits), detail))
    text = " ".join(" ".join(line.split()) for line, _ in told)
    for one in platform.models:
        assert all(reason in text for reason in one.needs_hands)
        assert one.model in text
    assert all(sentence in text for sentence in platform.waits)
    table = set(overview(platform.models)) if platform.models else set()
    long = [line for line, _ in told if len(line) > WIDTH and line not in table]
    assert [line for line in long if len(line.split()) > 2] == []


@given(STANDINGS)
@FEW
def test_no_number_is_told_of_what_is_not_known(one):
    told = lines(unknown(one.model))
    assert not any(re.search(r"\d", said) for said in told.values())
    assert lines(one).keys() == told.keys()


def test_the_headline_counts_models_that_need_hands():
    quiet, loud = unknown("a"), unknown("b", needs_hands=("drift alarm",))
    assert headline(Platform("2024-01-15T06:00:00+00:00", (quiet,), ())) == "1 model, nothing needs hands"
    assert headline(Platform("2024-01-15T06:00:00+00:00", (loud, quiet), ())) == "2 models, 1 needs hands"
    only = headline(Platform("2024-01-15T06:00:00+00:00", (quiet,), ("a run failed",)))
    assert only == "1 model, none needs hands, but the platform does"


@given(st.lists(st.dates().map(str), min_size=1, max_size=6, unique=True).map(sorted))
@FEW
def test_of_many_overdue_partitions_three_are_named_and_the_others_counted(names):
    said = overdue("shop/orders", names)
    assert sum(name in said for name in names) == min(len(names), 3)
    assert (f"and {len(names) - 3} more" in said) == (len(names) > 3)
