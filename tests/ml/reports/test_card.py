"""A model card says what is known and where from, and calls the rest unknown."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.reports.card import (
    Fact,
    Section,
    Source,
    as_html,
    as_markdown,
    value_in_words,
    with_interval,
)
from mlops_assets.ml.reports.sparklines import bars

REGISTRY = Source("version 7 in MLflow", "http://127.0.0.1:5000/#/models/m/versions/7")


class Cells(HTMLParser):
    """Texts of the table cells and targets of the links of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.cells: list[str] = []
        self.links: list[str | None] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "td":
            self.cells.append("")
            self.inside = True
        if tag == "a":
            self.links.append(dict(attrs).get("href"))

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "td"

    def handle_data(self, data):
        if self.inside:
            self.cells[-1] += data


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        ("", "unknown"),
        (float("nan"), "unknown"),
        (float("inf"), "unknown"),
        (0.0, "0"),
        (0.43991, "0.4399"),
        (336776, "336,776"),
        (1234.0, "1,234"),
        (True, "yes"),
    ],
)
def test_a_value_is_told_in_words_and_what_is_missing_is_unknown(value, text):
    assert value_in_words(value) == text


def test_a_metric_is_told_with_its_interval_or_that_it_has_none():
    assert with_interval(0.44, (0.41, 0.47)) == "0.44 (0.41 to 0.47)"
    assert with_interval(0.44, None) == with_interval(0.44, (None, None)) == "0.44 (interval unknown)"
    assert with_interval(None, (0.1, 0.2)) is None


def test_every_line_of_the_markdown_ends_in_its_source():
    card = as_markdown(
        "Card",
        [Section("Data", [Fact("rows", 12, REGISTRY), Fact("a|b", None, Source("nowhere"))], "A note.")],
    )
    assert card.startswith("# Card\n\n## Data\n\nA note.\n\n| what | value | from |\n")
    assert f"| rows | 12 | [version 7 in MLflow]({REGISTRY.link}) |" in card
    assert "| a\\|b | unknown | nowhere |" in card


@given(st.lists(st.tuples(st.text(), st.text(min_size=1)), max_size=5))
def test_the_page_shows_any_text_as_it_is(pairs):
    page = as_html("<card>", [Section("Data", [Fact(name, value, REGISTRY) for name, value in pairs])])
    read = Cells(page)
    normal = [text.replace("\r\n", "\n").replace("\r", "\n") for pair in pairs for text in pair]
    shown = [text.replace("\r\n", "\n").replace("\r", "\n") for i, text in enumerate(read.cells) if i % 3 < 2]
    assert shown == normal
    assert read.links == [REGISTRY.link] * len(pairs)
    assert "<card>" not in page


def test_a_picture_stands_between_the_note_and_the_table_in_both():
    section = Section(
        "Since", [Fact("weeks", 2, REGISTRY)], "Rows by week:", bars({"2013-12-23": 5881, "2013-12-30": 1712})
    )
    assert re.search(
        r"Rows by week:\n\n!\[Since\]\(data:image/svg\+xml,[^)\s]+\)\n\n\| what ",
        as_markdown("Card", [section]),
    )
    assert f"<p>Rows by week:</p>{section.picture}<table>" in as_html("Card", [section])
