"""What the pages of feature tables tell whoever looks for a feature, read in a browser over a state of two businesses."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs import screenshots
from resources.settings import settings
from tests.loans.state import variables
from tests.small_year import THROUGH

ZIPCODES = "loans/features/zipcodes"
TRAFFIC = "flights/features/carrier_traffic"
HEADER = ["column", "meaning", "unit", "values", "missing", "min", "median", "max", "read by"]


@pytest.fixture(scope="module")
def address(loans_home: Path, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = shutil.copytree(loans_home, tmp_path_factory.mktemp("catalogue") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        for name, value in variables(loans_home.parent).items():
            patch.setenv(name, value)
        with screenshots.webserver(settings({"MLOPS_HOME": str(home)})) as address:
            yield address


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    with screenshots.browser(1500, 2600) as page:
        yield page


def words(shown: Any) -> str:
    return " ".join(shown.inner_text().split())


def value(page: Any, key: str) -> str:
    """What stands beside a key of the metadata."""
    return words(screenshots.value_of(page, key))


def opened(page: Any) -> Any:
    """The table of features, which opens on a click."""
    table = screenshots.open_text(page, "distributions").locator("table").last
    table.wait_for()
    return table


def features(table: Any) -> dict[str, list[str]]:
    """The rows of that table by the name of the feature."""
    assert [words(cell) for cell in table.locator("th").all()] == HEADER
    rows = [[words(cell) for cell in row.locator("td").all()] for row in table.locator("tbody tr").all()]
    return {row[0]: row for row in rows}


def test_a_feature_is_shown_with_words_origin_spread_missing_share_age_and_readers(page, address):
    screenshots.open_catalogue(page, address, TRAFFIC)
    column = page.locator("tr").filter(has=page.get_by_text("carrier_delay", exact=True)).first
    assert "from flights/raw: carrier, origin, dep_delay, departed_at" in words(column)
    assert re.fullmatch(r"2013-02-2\d \d\d:\d\d UTC", value(page, "newest row"))
    assert value(page, "newest row")[:10] > THROUGH
    assert value(page, "read by no model") == "none: each of the 7 features is read"
    table = opened(page)
    _, meaning, unit, _, missing, *numbers, readers = features(table)["carrier_delay"]
    assert meaning == "Mean delay of flights of the carrier from the origin that left in the last 3 hours."
    assert unit == "minutes" and re.fullmatch(r"\d+\.\d%", missing)
    low, middle, high = map(float, numbers)
    assert low < middle < high
    assert readers == "arrival_minutes, flight_delay"
    picture = table.locator("tr").filter(has_text=meaning).locator("img")
    picture.wait_for()
    assert picture.evaluate("image => [image.complete, image.naturalWidth]") == [True, 96]


def test_a_feature_that_no_model_reads_is_named(page, address):
    screenshots.open_catalogue(page, address, ZIPCODES)
    assert value(page, "read by no model") == "city"
    assert value(page, "newest row") == "known all along"
    rows = features(opened(page))
    assert {name: row[-1] for name, row in rows.items()} == {
        "city": "no model",
        "population": "loan_default",
        "unemployment": "loan_default",
    }
    assert rows["city"][1] == "The value of loans/zipcodes.city, as it was known."
    assert rows["city"][3].startswith("CITY 0 15%")
    assert rows["unemployment"][1:3] == [
        "Share of those who look for work in the zip code and have none.",
        "%",
    ]
    assert rows["unemployment"][4] == "12.5%"
