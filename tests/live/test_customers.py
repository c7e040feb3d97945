"""What customers ask, and what is said of the answers they got; that they are answered is seen in tests/acceptance/test_live_shop.py."""

from collections import Counter
from datetime import UTC, datetime

from mlops_assets.live.conductor import traffic_event
from mlops_assets.live.customers import Traffic, request_of

ROW = {
    "shop": "s03",
    "amount": 12.5,
    "grade": None,
    "at": datetime(2024, 5, 1, 8, tzinfo=UTC),
    "sent_back": True,
}


def test_a_request_has_its_fields_alone_moments_as_text_and_nothing_that_is_missing():
    assert request_of(ROW, ["shop", "amount", "grade", "at", "other"]) == {
        "shop": "s03",
        "amount": 12.5,
        "at": "2024-05-01T08:00:00+00:00",
    }


def test_a_line_says_who_answered_how_often_and_how_fast_and_what_else_was_met_with():
    traffic = Traffic(
        Counter({"2": 3, "4": 1}), Counter({"503": 2}), [0.002, 0.004, 0.003, 0.1], {"503": "busy"}
    )
    event = traffic_event("2024-05-01", "sent_back", traffic)
    assert (
        event.text
        == "sent_back: 6 requests: 3 by version 2, 1 by version 4, 2 503, median 3.5 ms, p99 100.0 ms"
    )
    assert event.numbers["answered"] == 4 and event.numbers["words"] == {"503": "busy"}


def test_without_an_answer_there_is_no_time():
    event = traffic_event("2024-05-01", "sent_back", Traffic(others=Counter({"no model yet": 5})))
    assert event.text == "sent_back: 5 requests, 5 no model yet" and event.numbers["median_ms"] is None
