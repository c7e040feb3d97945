"""The screen for whoever is on call, over a replayed state and real servers: what needs hands on top, every link answers."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urldefrag

import dagster as dg
import httpx
import pytest

from docs import screenshots
from docs.screenshots import _free_port, _running
from mlops_assets.local.servers import _mlflow, prepare_mlflow
from resources.settings import PROJECT_ROOT, settings
from tests.small_year import THROUGH, environment

MODEL = "flight_delay"
MAKE_STATUS = """
import dagster as dg
from mlops_assets.project import Project
from resources.settings import settings
from mlops_assets.kit.status_page import STATUS
project = Project.open(settings())
job = dg.define_asset_job("status", dg.AssetSelection.assets(STATUS))
defs = dg.Definitions.merge(project.defs, dg.Definitions(jobs=[job]))
assert defs.resolve_job_def("status").execute_in_process(instance=project.instance).success
"""


@dg.asset(key=["storm", "rows"])
def storm():
    raise ValueError("no rows came")


@dataclass(frozen=True)
class Running:
    """The endpoint's address, and the variables of a process that works on the state beside the servers."""

    endpoint: str
    variables: dict[str, str]

    def said(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What `mlops status` says."""
        command = [sys.executable, "-m", "mlops_assets.cli", "status", *arguments]
        return subprocess.run(command, env=self.variables, cwd=PROJECT_ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def running(small_home: Path, tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[Running]:
    """Dagster's web server, MLflow and the endpoint over a copy of the state, in which one run has failed; the asset has written the status."""
    home = Path(shutil.copytree(small_home, tmp_path_factory.mktemp("on_call") / "home"))
    data = {"MLOPS_DATA": str(small_home.parent / "data")}
    given = {"MLOPS_HOME": str(home), "MLOPS_MLFLOW_PORT": str(_free_port()), **data}
    where = settings(given)
    prepare_mlflow(where)
    with (
        screenshots.webserver(where) as dagster,
        _running(_mlflow(where)),
        screenshots.endpoint(where) as endpoint,
        dg.DagsterInstance.from_config(str(where.dagster_home)) as instance,
    ):
        assert not dg.materialize([storm], instance=instance, raise_on_error=False).success
        port = endpoint.rpartition(":")[2]
        variables = environment(home, **given, MLOPS_DAGSTER_URL=dagster, MLOPS_SERVE_PORT=port)
        made = subprocess.run(
            [sys.executable, "-c", MAKE_STATUS],
            env=variables,
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
        )
        assert made.returncode == 0, made.stderr[-3000:]
        yield Running(endpoint, variables)


@pytest.fixture(scope="module")
def page(running):
    with screenshots.browser(1300, 1000) as page:
        page.goto(running.endpoint)
        yield page


def test_what_needs_hands_stands_on_top_of_the_first_page_and_of_its_table(page):
    section = page.locator(".standing")
    first_card = page.locator("[data-model]").first
    assert section.bounding_box()["y"] < first_card.bounding_box()["y"]
    reason = section.get_by_text("a run of __ephemeral_asset_job__ failed")
    assert reason.bounding_box()["y"] < section.locator("table").bounding_box()["y"]
    rows = section.locator("tbody tr")
    urgent = ["bad" in (rows.nth(i).locator("th").get_attribute("class") or "") for i in range(rows.count())]
    assert urgent == sorted(urgent, reverse=True)
    assert THROUGH in section.locator(f"[data-standing={MODEL}]").inner_text()


def test_every_link_of_the_screen_leads_to_a_page_that_answers(page):
    links = page.locator(".standing a")
    addresses = {str(links.nth(i).get_attribute("href")) for i in range(links.count())}
    assert any("/runs/" in address for address in addresses)
    assert any("/#/models/flight_delay/versions/" in address for address in addresses)
    answers = {address: httpx.get(urldefrag(address).url, timeout=60).status_code for address in addresses}
    assert {address: code for address, code in answers.items() if code != 200} == {}


def test_the_command_says_the_same_as_the_page_without_colours_and_fails_where_hands_are_needed(
    page, running
):
    document = json.loads(running.said("--json").stdout)
    rows = page.locator(".standing tbody tr")
    assert [rows.nth(i).get_attribute("data-standing") for i in range(rows.count())] == [
        one["model"] for one in document["models"]
    ]
    (model,) = [one for one in document["models"] if one["model"] == MODEL]
    assert (model["newest_partition"], model["champion"]) == (THROUGH, 2)
    told = running.said("--fail")
    assert (told.returncode, told.stderr) == (1, "")
    assert "\x1b" not in told.stdout and "! a run of __ephemeral_asset_job__ failed" in told.stdout
    assert running.said().returncode == 0


def test_a_state_without_servers_is_described_and_asks_nothing(tmp_path):
    variables = {**os.environ, "MLOPS_HOME": str(tmp_path)}
    told = Running("", variables).said("--fail")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("4 models, nothing needs hands")
    assert list(tmp_path.iterdir()) == []
