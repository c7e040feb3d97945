"""What a person sees in the web UI: a real webserver over a small replayed state of each business, in a real browser."""

import re
import shutil
from dataclasses import dataclass

import pytest

from docs import screenshots
from mlops_assets.use_cases.flights.features.catalogue import VIEWS
from resources.settings import settings
from tests.loans.state import variables
from tests.small_year import THROUGH


@dataclass(frozen=True)
class Business:
    """A use case as its pages are to show it."""

    state: str
    """The fixture with its MLOPS_HOME."""
    name: str
    model: str
    models: tuple[str, ...]
    verdict: str
    floor: str
    slices: set[str]
    table: str
    column: str
    said: tuple[str, ...]
    tags: tuple[str, ...]
    drawn: int
    """Columns of the table with a distribution."""
    first: str
    """What the run of the first training says of when it was."""


FLIGHTS = Business(
    state="small_home",
    name="flights",
    model="flight_delay",
    models=("flight_delay", "arrival_minutes"),
    verdict=r"(Promoted as the first champion|Rejected): auc 0\.\d{4} (meets|misses) the floor of at least 0\.65\.",
    floor="floor of at least 0.65",
    slices={"EWR", "JFK", "LGA", "UA"},
    table="flights/features/carrier_traffic",
    column="carrier_delay",
    said=(
        "Mean delay of flights of the carrier from the origin that left in the last 3 hours.",
        "from flights/raw: carrier, origin, dep_delay, departed_at",
        "unit: minutes",
    ),
    tags=("domain: flights", "entity: carrier.origin", "ttl: 30min"),
    drawn=len(VIEWS["carrier_traffic"].features),
    first=THROUGH,
)
LOANS = Business(
    state="loans_home",
    name="loans",
    model="loan_default",
    models=("loan_default",),
    verdict=r"(Promoted|Rejected).*\.",
    floor="floor of at least 0.6",
    slices={"A", "B", "C", "D"},
    table="loans/features/zipcodes",
    column="unemployment",
    said=("from loans/zipcodes: unemployment",),
    tags=("domain: loans",),
    drawn=2,
    first="2024-02",
)


@pytest.fixture(
    scope="module",
    params=[FLIGHTS, pytest.param(LOANS, marks=pytest.mark.nightly)],
    ids=lambda business: business.name,
)
def business(request):
    return request.param


@pytest.fixture(scope="module")
def address(business, request, chromium, tmp_path_factory):
    """A read-only webserver over a copy of the small state."""
    state = request.getfixturevalue(business.state)
    home = shutil.copytree(state, tmp_path_factory.mktemp("browser") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        for name, value in variables(state.parent).items() if business is LOANS else ():
            patch.setenv(name, value)
        with screenshots.webserver(settings({"MLOPS_HOME": str(home)})) as address:
            yield address


@pytest.fixture(scope="module")
def page(address):
    """A page of Chromium, wide and high enough to show everything at once."""
    with screenshots.browser(1500, 2600) as page:
        yield page


def left(page, text: str) -> float:
    """Where the node with this name begins in the graph, from the left."""
    node = page.locator("foreignObject, .group, g").get_by_text(text, exact=True).last
    node.wait_for()
    return node.bounding_box()["x"]


def test_the_lineage_reads_from_ingest_over_features_to_the_models(page, address, business):
    page.goto(f"{address}/asset-groups", wait_until="networkidle")
    ingest, features, *models = (
        left(page, group)
        for group in (f"{business.name}_ingest", f"{business.name}_features", *business.models)
    )
    assert ingest < features
    assert all(features < model for model in models)


def test_an_opened_model_reads_from_its_training_set_to_its_reports(page, address, business):
    page.goto(screenshots.lineage_address(address, business.model), wait_until="networkidle")
    stages = ("training_set", "model", "evaluation", "deployment", "predictions", "performance")
    places = [left(page, stage) for stage in stages]
    assert places == sorted(places)


@pytest.fixture
def evaluation(page, address, business):
    """The page of the evaluation without a dialog over it; opened once for the tests that follow each other."""
    if f"/{business.model}/evaluation" not in page.url:
        screenshots.open_evaluation(page, address, business.model)
    yield page
    page.keyboard.press("Escape")
    page.locator(screenshots.DIALOG).first.wait_for(state="hidden")


def row(page, key: str) -> str:
    """What the metadata table says beside a key."""
    return screenshots.value_of(page, key).inner_text()


def test_the_evaluation_begins_with_its_verdict_in_one_sentence(evaluation, business):
    assert re.fullmatch(business.verdict, " ".join(row(evaluation, "verdict").split()))


def test_the_metrics_stand_side_by_side(evaluation):
    metrics = row(evaluation, "metrics")
    assert re.search(r"metric\s+challenger\s+champion", metrics)
    for name in ("auc", "log_loss", "brier", "calibration_error"):
        assert re.search(rf"\b{name}\s+0\.\d{{4}}\b", metrics)
    rows = int(row(evaluation, "held-out rows"))
    assert re.search(rf"\brows\s+{rows}\b", metrics)


@pytest.mark.parametrize("key", ["reliability", "roc"])
def test_the_curves_are_drawn_in_the_page_itself(evaluation, key):
    picture = evaluation.locator("tr").filter(has=evaluation.get_by_text(key, exact=True)).locator("img")
    picture.wait_for()
    assert picture.evaluate("image => [image.complete, image.naturalWidth]") == [True, 220]


@pytest.mark.parametrize("key", ["reliability plot", "roc plot", "importance plot"])
def test_the_full_plots_open_on_a_click(evaluation, key):
    shown = screenshots.open_picture(evaluation, key)
    assert shown.evaluate("image => image.naturalWidth") == 640


def test_the_slices_are_shown_by_their_values(evaluation, business):
    table = screenshots.open_text(evaluation, "slices").locator("table").last
    table.wait_for()
    assert business.slices <= set(table.inner_text().split())


def test_the_gate_is_shown_as_a_check_that_blocks(page, address, business):
    page.goto(f"{address}/assets/{business.model}/evaluation?view=checks", wait_until="networkidle")
    page.get_by_text("challenger_passes_the_gate").first.wait_for()
    assert page.get_by_text(re.compile(re.escape(business.floor))).first.is_visible()


def test_the_catalogue_says_what_a_feature_means_and_what_it_is_made_of(page, address, business):
    screenshots.open_catalogue(page, address, business.table)
    column = page.locator("tr").filter(has=page.get_by_text(business.column, exact=True)).first
    shown = " ".join(column.inner_text().split())
    assert [said for said in business.said if said not in shown] == [], shown
    for tag in business.tags:
        assert page.get_by_text(tag, exact=True).is_visible()


def test_the_distributions_of_the_newest_partition_are_drawn(page, address, business):
    screenshots.open_catalogue(page, address, business.table)
    pictures = screenshots.open_picture(page, "distributions")
    assert pictures.count() == business.drawn
    for picture in pictures.all():
        assert picture.evaluate("image => [image.complete, image.naturalWidth]") == [True, 96]


def test_runs_carry_the_reason_for_which_they_were_made(page, address, business):
    page.goto(f"{address}/runs?q[0]=tag%3Amlops%2Ftrigger%3Dfirst_model", wait_until="networkidle")
    page.get_by_text(f"{business.model}_retrain").first.wait_for()
    assert business.first in page.content()
