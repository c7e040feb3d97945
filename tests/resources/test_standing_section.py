"""The table on top of the endpoint's page: what needs hands first, texts as texts, links that lead to the web alone."""

from datetime import datetime, timedelta
from html.parser import HTMLParser

from hypothesis import given, settings

from mlops_assets.ml.reports.standing import in_order
from resources.records.standing import Platform, PlatformStatus
from resources.serving.http.page.standing import COLUMNS, standing_section
from resources.serving.status_notice import STATUS, status_in
from tests.standings import PLATFORMS, unknown

OURS = {
    "section",
    "div",
    "h2",
    "span",
    "time",
    "p",
    "ul",
    "li",
    "strong",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "a",
    "br",
    "small",
}


class Reading(HTMLParser):
    """Tags, links and texts of a piece of HTML, in their order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.rows: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.rows += [value or "" for name, value in attrs if name == "data-standing"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def shown(platform: Platform, later: timedelta = timedelta()) -> Reading:
    now = datetime.fromisoformat(platform.asked_at) + later
    return Reading(standing_section(PlatformStatus.of_platform(platform), now))


@settings(max_examples=40, deadline=None)
@given(PLATFORMS)
def test_a_row_a_model_in_the_order_of_the_record_and_every_reason_before_them_as_text(platform):
    platform = Platform(platform.asked_at, in_order(platform.models), platform.waits)
    page = shown(platform)
    assert page.rows == [one.model for one in platform.models]
    assert page.tags.count("td") == len(COLUMNS) * len(platform.models)
    assert set(page.tags) <= OURS
    assert all(link.startswith("http://") for link in page.links)
    whole = " ".join(page.texts)
    reasons = [reason for one in platform.models for reason in one.needs_hands]
    assert all(whole.count(reason) >= 1 for reason in (*reasons, *platform.waits))
    if reasons:
        assert page.tags.index("li") < page.tags.index("table")


def test_an_address_at_the_end_of_a_sentence_is_a_link_and_a_script_never_is():
    runs = "a run failed: http://dagster.example/runs/1?a=1&b=2"
    hostile = unknown("m", links={"registry": "javascript:alert(1)"}, champion=3)
    page = shown(Platform("2024-01-15T06:00:00+00:00", (hostile,), (runs,)))
    assert page.links == ["http://dagster.example/runs/1?a=1&b=2"]


def test_the_age_of_the_record_is_told_by_the_wall_clock():
    page = shown(Platform("2024-01-15T06:00:00+00:00", (), ()), timedelta(hours=3))
    assert any("3 hours ago" in text for text in page.texts)


def test_without_a_record_or_with_one_of_a_newer_release_the_page_says_how_to_get_one(tmp_path):
    assert status_in(tmp_path) is None
    assert "platform/status" in standing_section(None, datetime.now().astimezone())
    (tmp_path / STATUS).parent.mkdir()
    (tmp_path / STATUS).write_text('{"record_version": 99}')
    assert status_in(tmp_path) is None
