"""docs/tutorial.md, followed line by line in an empty folder: from CSV files to a promoted challenger, and why it was."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops_assets.local.probes import answers
from resources.settings import PROJECT_ROOT
from tests.acceptance.dagster_server import Dagster
from tests.acceptance.pages import Block, Reader, blocks, is_shown
from tests.conftest import needed_program
from tests.small_year import environment

PAGE = (PROJECT_ROOT / "docs" / "tutorial.md").read_text()
PORTS = {"MLOPS_DAGSTER_PORT": 3000, "MLOPS_MLFLOW_PORT": 5000, "MLOPS_SERVE_PORT": 8000}
MATERIALIZED = """
query Newest($key: AssetKeyInput!) { assetOrError(assetKey: $key) {
  ... on Asset { assetMaterializations(limit: 1) { timestamp } } } }
"""


@dataclass
class Newcomer:
    """A reader with a first and a second terminal, and the page with ports that are free here."""

    page: str
    terminals: list[Reader]
    dagster: str

    def follow(self, begin: str, end: str) -> None:
        """Do what the page says from one text on up to another."""
        self.terminals[0].follow(self.page[self.page.index(begin) : self.page.index(end)])


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Newcomer]:
    """Stands in an empty folder, having followed the page up to a use case that fits."""
    needed_program("curl", "apt-get install curl")
    base = tmp_path_factory.mktemp("newcomer")
    ports, page = {name: free_port() for name in PORTS}, PAGE
    for name, number in PORTS.items():
        page = page.replace(f":{number}", f":{ports[name]}")
    variables = environment(base / "home") | {name: str(port) for name, port in ports.items()}
    terminals = [Reader(_project(base), dict(variables), base / name) for name in ("first", "second")]
    for terminal in terminals:
        terminal.left.mkdir()
    with ExitStack() as stack:
        terminals[0].servers = {"mlops dev": lambda shown: stack.enter_context(_servers(terminals[1], shown))}
        reader = Newcomer(page, terminals, f"http://127.0.0.1:{ports['MLOPS_DAGSTER_PORT']}")
        terminals[1].follow(_part("Each terminal begins", "## 1."))
        reader.follow("Each terminal begins", "## 4.")
        yield reader


def _part(begin: str, end: str) -> str:
    return PAGE[PAGE.index(begin) : PAGE.index(end)]


def _project(base: Path) -> Path:
    """A folder that stands for the project's, in which `make setup` has made the environment."""
    folder = base / "project" / ".venv" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "activate").write_text(f'export PATH="{Path(sys.executable).parent}:$PATH"\n')
    return base / "project"


@contextmanager
def _servers(terminal: Reader, shown: Block) -> Iterator[None]:
    """`mlops dev` in a terminal, once it has printed what the page shows, and until the reader leaves."""
    log = terminal.left / "mlops-dev.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            ["mlops", "dev"],
            env=terminal.variables,
            cwd=terminal.folder,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + 240
            while not is_shown(shown.text, log.read_text()):
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=120) == 0, log.read_text()


def test_setting_up_is_one_target(newcomer):
    (block,) = blocks(_part("## Set up", "Each terminal begins"))
    assert block.text == "make setup\n"


def test_the_files_of_the_page_make_a_use_case_that_fits_once_its_mistake_is_corrected(newcomer):
    terminal = newcomer.terminals[0]
    assert terminal.folder.name == "tutorial"
    assert sorted(path.name for path in terminal.folder.iterdir()) == ["gym", "make_data.py"]
    assert terminal.command("mlops check gym").output.endswith("everything fits\n")


@pytest.mark.nightly
def test_the_rest_of_the_page_leads_to_a_model_that_notices_a_change_and_takes_the_champions_place(newcomer):
    newcomer.follow("## 4.", "## 6.")
    dagster = Dagster(newcomer.dagster)
    links = re.findall(r"/assets/([\w/]+)", newcomer.page)
    assert len(links) == 5
    for link in links:
        newest = dagster.ask(MATERIALIZED, key={"path": link.split("/")})
        assert newest["assetMaterializations"], f"{link} was not materialized"
    groups = {node["groupName"] for node in dagster.ask("{ assetNodes { groupName } }")}
    assert {"gym_ingest", "gym_features", "no_show"} <= groups
    newcomer.follow("## 6.", "## Go on")
    (variant,) = re.findall(r"`(mlops train .*?)`", newcomer.page)
    done = newcomer.terminals[0].command(variant)
    assert done.status == 0 and "not registered" in done.output, done.output + done.errors
    assert answers(newcomer.dagster + "/server_info")
