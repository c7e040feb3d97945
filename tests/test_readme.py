"""The README tells the truth: its commands, paths, variables and pictures exist."""

import re
from pathlib import Path

import pytest

from docs.screenshots import LARGEST_BYTES
from docs.tables import OF_THE_REPORT, YEAR, block_in, filled
from docs.variables import variables_table
from mlops_assets.cli import parsed
from resources.settings import PROJECT_ROOT

README = (PROJECT_ROOT / "README.md").read_text()
PAGES = {
    page.relative_to(PROJECT_ROOT).as_posix(): page.read_text()
    for page in [PROJECT_ROOT / "README.md", *PROJECT_ROOT.glob("docs/*.md")]
}
SCREEN = 50
"""Lines that a page shows at once."""
TARGETS = set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))


def folder_map() -> list[str]:
    block = re.search(r"## Where things are\n\n```text\n(.*?)```", README, re.DOTALL)
    assert block
    paths, folder = [], ""
    for line in block[1].splitlines():
        name = line.split()[0]
        folder = folder if line.startswith(" ") else name
        paths.append(name if name == folder else folder + name)
    return paths


def test_every_path_of_the_folder_map_exists():
    assert len(folder_map()) > 12
    assert [path for path in folder_map() if not (PROJECT_ROOT / path).exists()] == []


def test_every_package_and_folder_of_the_house_is_in_the_map():
    ours = {"mlops_assets", "resources", "feature_repo", "benchmarks", "tests", "docs", "deployments"}
    assert {path.split("/")[0] for path in folder_map()} == ours


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_is_named_exists(page):
    assert set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)$", PAGES[page])) <= {
        (name, "") for name in TARGETS
    }


def test_every_target_for_users_is_explained():
    explained = set(re.findall(r"^\| `make ([a-z-]+)` \|", README, re.MULTILINE))
    assert explained == TARGETS - {"help", "lint", "types", "lock"}


def test_the_table_of_variables_is_the_one_that_the_settings_print():
    table = re.search(r"<!-- variables -->\n(.*?)\n<!-- /variables -->", README, re.DOTALL)
    assert table
    assert table[1] == variables_table()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_picture_leads_to_a_file(page):
    folder = (PROJECT_ROOT / page).parent
    links = [link for link in re.findall(r"\]\(([^)#]+)", PAGES[page]) if "://" not in link]
    assert [link for link in links if not (folder / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_the_project_that_is_named_exists(page):
    named = re.findall(r"`((?:mlops_assets|resources|feature_repo|tests|docs)/[\w/.*-]+)`", PAGES[page])
    assert [name for name in named if "long_delay" not in name and not list(PROJECT_ROOT.glob(name))] == []


def test_the_pictures_are_small_enough_to_load_at_once():
    pictures = list((PROJECT_ROOT / "docs" / "images").glob("*.png"))
    assert {picture.name for picture in pictures} >= {"lineage.png", "evaluation.png", "reliability.png"}
    assert [picture.name for picture in pictures if picture.stat().st_size > LARGEST_BYTES] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_mlops_command_is_one_that_the_command_line_takes(page):
    for line in re.findall(r"^\.venv/bin/mlops (.*)$", PAGES[page], re.MULTILINE):
        assert parsed(line.split())


def test_the_first_two_screens_run_it_show_it_and_say_how_to_go_on():
    begin, _, details = README.partition("\n# Details\n")
    heads = re.findall(r"^## (.*)$", begin, re.MULTILINE)
    assert heads == ["Run it", "What you see", "Add a model", "Bring your data", "Where things are"]
    assert len(begin.splitlines()) <= 2 * SCREEN
    assert "## Commands" in details


def test_every_page_is_in_the_index_once_and_in_order():
    listed = re.findall(r"^\d+\. \[.*?\]\(([\w-]+\.md)\)", PAGES["docs/README.md"], re.MULTILINE)
    assert sorted(listed) == sorted(
        Path(page).name for page in PAGES if page not in ("README.md", "docs/README.md")
    )
    numbers = re.findall(r"^(\d+)\. ", PAGES["docs/README.md"], re.MULTILINE)
    assert numbers == [str(number) for number in range(1, len(listed) + 1)]


def test_the_table_has_a_line_for_every_week_and_every_policy():
    weeks = block_in(YEAR.read_text(), "partitions").splitlines()
    assert weeks[0].split() == [
        "partition",
        "rows",
        "labelled",
        "auc",
        "log_loss",
        "drift",
        "version",
        "decision",
    ]
    assert (len(weeks), weeks[1].split()[0], weeks[-1].split()[0]) == (54, "2012-12-31", "2013-12-30")
    policies = [re.split(r"  +", line)[0] for line in block_in(README, "policies").splitlines()]
    assert policies == ["policy", "this policy", "never retrained", "every four weeks"]


def test_the_tables_can_be_renewed_from_a_report():
    tables = {
        "partitions": "partition  rows\n2013-01-07  5",
        "buys again": "buys_again: Does one?\nfrom  to",
        "spends next": "spends_next: How much?\nfrom  to",
        "policies": "policy  trainings\nthis policy  3",
    }
    report = "\n\n".join(tables.values())
    for name, (_, _, path) in OF_THE_REPORT.items():
        page = filled(path.read_text(), name, report)
        assert block_in(page, name) == tables.get(name, tables["policies"])
        assert filled(page, name, report) == page
    with pytest.raises(ValueError, match="no table that begins with 'policy '"):
        filled(README, "policies", "partition  rows\n")
    with pytest.raises(ValueError, match="no markers <!-- partitions -->"):
        filled(README, "partitions", report)
