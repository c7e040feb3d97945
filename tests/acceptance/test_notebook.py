"""docs/a-question-to-a-promotion.ipynb, executed: what it shows is what is on the page, and the variant is promoted."""

import json

import pytest

from tests.acceptance.notebook import NOTEBOOK, executed, outputs, rounded

LARGEST_BYTES = 300_000


@pytest.fixture(scope="module")
def run(small_home, tmp_path_factory):
    pytest.importorskip("nbclient", reason="nbclient is not installed: pip install nbclient ipykernel")
    return executed(small_home.parent, tmp_path_factory.mktemp("root"))


@pytest.mark.nightly
def test_every_cell_shows_what_the_page_shows(run):
    import nbformat

    page = nbformat.read(NOTEBOOK, as_version=4)
    assert [[rounded(text) for text in cell] for cell in outputs(run)] == [
        [rounded(text) for text in cell] for cell in outputs(page)
    ]


def test_it_goes_from_a_question_to_a_promotion(run):
    said = "\n".join(text for cell in outputs(run) for text in cell)
    assert "version 3 of flight_delay: promoted as version 4" in said
    assert said.count("picture") >= 3


def test_the_page_is_small_and_has_no_place_of_whoever_made_it():
    assert NOTEBOOK.stat().st_size < LARGEST_BYTES
    page = json.loads(NOTEBOOK.read_text())
    assert all(cell["metadata"] == {} for cell in page["cells"])
    assert "/tmp/" not in NOTEBOOK.read_text() and "/home/" not in NOTEBOOK.read_text()
