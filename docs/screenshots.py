"""Pictures of the web UI and of the endpoint's page for the README, taken from the state that `make run` left behind.

A real Dagster webserver, read-only, and a real endpoint show the state to Debian's Chromium; nothing is drawn by hand.
"""

import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.local.probes import answers
from mlops_assets.local.processes import Server, Supervisor
from mlops_assets.local.servers import prepare_dagster_home
from resources.settings import PROJECT_ROOT, USAGE_REPORTS_OFF, Settings, settings
from resources.storage.addresses import storage_at

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

HOST = "127.0.0.1"
IMAGES = PROJECT_ROOT / "docs" / "images"
LARGEST_BYTES = 250_000
MODEL = "flight_delay"
TABLE = "flights/features/carrier_traffic"
DIALOG = "[role=dialog], .bp5-dialog, .bp6-dialog"


@contextmanager
def webserver(home: Settings, workspace: Path = PROJECT_ROOT / "workspace.yaml") -> Iterator[str]:
    """The address of a read-only Dagster webserver over a state folder, for as long as the block lasts."""
    dagster_home, port = prepare_dagster_home(home), _free_port()
    server = Server(
        name="Dagster",
        command=[
            *(sys.executable, "-m", "dagster_webserver", "-w", str(workspace)),
            *("-h", HOST, "-p", str(port), "--read-only"),
        ],
        address=f"http://{HOST}:{port}",
        health=f"http://{HOST}:{port}/server_info",
        hint="",
        log=home.home / "logs" / "webserver.log",
        environment={
            **USAGE_REPORTS_OFF,
            "MLOPS_HOME": str(home.home),
            "DAGSTER_HOME": str(dagster_home),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")])),
        },
        folder=workspace.parent,
    )
    with _running(server):
        yield server.address


@contextmanager
def endpoint(home: Settings) -> Iterator[str]:
    """The address of the shipped endpoint over a state folder, for as long as the block lasts."""
    port = _free_port()
    server = Server(
        name="the endpoint",
        command=[sys.executable, "-m", "resources.serving"],
        address=f"http://{HOST}:{port}",
        health=f"http://{HOST}:{port}/healthz",
        hint="",
        log=home.home / "logs" / "endpoint.log",
        environment={
            **USAGE_REPORTS_OFF,
            "MLOPS_HOME": str(home.home),
            "MLOPS_SERVE_PORT": str(port),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")])),
        },
        folder=PROJECT_ROOT,
    )
    with _running(server):
        yield server.address


@contextmanager
def _running(server: Server) -> Iterator[None]:
    supervisor = Supervisor()
    try:
        supervisor.start(server)
        _wait_until_up(server, supervisor)
        yield
    finally:
        supervisor.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def _wait_until_up(server: Server, supervisor: Supervisor, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not answers(server.health):
        if supervisor.ended() or time.monotonic() > until:
            raise RuntimeError(f"{server.name} did not come up:\n{server.last_lines()}")
        time.sleep(0.2)


@contextmanager
def browser(width: int, height: int) -> Iterator["Page"]:
    """A page of the system's Chromium, without its sandbox, because containers run it as root."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        raise RuntimeError("chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            yield opened.new_page(viewport={"width": width, "height": height})
        finally:
            opened.close()


def lineage_address(address: str, expanded: str) -> str:
    """The lineage page with one group of assets opened; the others stay closed."""
    return f"{address}/asset-groups?expanded=global%40global%3A{expanded}"


def open_evaluation(page: "Page", address: str, model: str = MODEL) -> None:
    """Go to the asset page of a model's evaluation and wait until its verdict is there."""
    page.goto(f"{address}/assets/{model}/evaluation", wait_until="networkidle")
    page.get_by_text("verdict", exact=True).wait_for()


def open_catalogue(page: "Page", address: str, table: str = TABLE) -> None:
    """Go to the asset page of a table and wait until its columns are there."""
    page.goto(f"{address}/assets/{table}", wait_until="networkidle")
    page.get_by_placeholder("Filter columns").wait_for()
    page.get_by_text("distributions", exact=True).wait_for()


def value_of(page: "Page", key: str) -> "Locator":
    """What the metadata table has beside a key, once something stands there: Markdown is drawn after the rest of the page."""
    row = page.locator("tr").filter(has=page.get_by_text(key, exact=True)).last
    cell = row.locator("> td").last
    cell.filter(has_text=re.compile(r"\S")).wait_for()
    return cell


def open_text(page: "Page", row: str) -> "Locator":
    """Click on what a row of the metadata hides behind a link; the dialog that opens, or the row where all stands in it."""
    found = page.locator("tr").filter(has=page.get_by_text(row, exact=True))
    found.last.wait_for()
    link = found.get_by_text("[Show Markdown]")
    if not link.count():
        return found.last
    link.click()
    return page.locator(DIALOG).last


def open_picture(page: "Page", row: str) -> "Locator":
    """The pictures of a row of the metadata, in the dialog that opens on a click where it has one."""
    shown = open_text(page, row).locator("img")
    shown.first.wait_for()
    return shown


def main() -> int:
    """Write the pictures and say where and how large they are."""
    home = settings()
    if not storage_at(home.lake).names(f"{MODEL}/attempts"):
        print(f"error: {home.home} holds no evaluation of {MODEL}: run `make run` first", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    with webserver(home) as address, browser(1800, 900) as page:
        lineage(page, address)
        page.set_viewport_size({"width": 1300, "height": 1700})
        evaluation(page, address)
        catalogue(page, address)
        card(page, address)
    with endpoint(home) as address, browser(1200, 1300) as page:
        first_page(page, address)
        on_call(page, address)
    too_large = 0
    for picture in sorted(IMAGES.glob("*.png")):
        size = picture.stat().st_size
        too_large += size > LARGEST_BYTES
        print(f"{picture.relative_to(PROJECT_ROOT)} {size / 1000:.0f} kB")
    return 1 if too_large else 0


def lineage(page: "Page", address: str) -> None:
    """The graph with the model's group opened, without the lists around it."""
    page.goto(lineage_address(address, MODEL), wait_until="networkidle")
    page.get_by_text("Hide navigation").click()
    page.goto(lineage_address(address, MODEL), wait_until="networkidle")
    page.get_by_text("performance", exact=True).last.wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=IMAGES / "lineage.png", clip={"x": 384, "y": 224, "width": 1372, "height": 486})


def evaluation(page: "Page", address: str) -> None:
    """The evaluation's page from its verdict down to the curves, and the full reliability plot."""
    open_evaluation(page, address)
    page.get_by_text("Status", exact=True).click()
    page.wait_for_timeout(1500)
    last = page.get_by_text("importance plot", exact=True).bounding_box()
    height = last["y"] + 40 if last else 1500
    page.screenshot(path=IMAGES / "evaluation.png", clip={"x": 68, "y": 0, "width": 1232, "height": height})
    dialog(page, "reliability plot", "reliability.png")


def dialog(page: "Page", row: str, name: str) -> None:
    """What a row of the metadata hides, as the dialog shows it."""
    open_picture(page, row)
    page.wait_for_timeout(1000)
    page.locator(DIALOG).last.screenshot(path=IMAGES / name)


def catalogue(page: "Page", address: str) -> None:
    """The page of a feature table with its columns, and how their values are spread."""
    open_catalogue(page, address)
    page.wait_for_timeout(1500)
    last = (
        page.locator("tr").filter(has=page.get_by_text("carrier_cancelled", exact=True)).first.bounding_box()
    )
    height = last["y"] + 1 if last else 1100
    page.screenshot(path=IMAGES / "catalogue.png", clip={"x": 68, "y": 0, "width": 1232, "height": height})
    dialog(page, "distributions", "distributions.png")


def card(page: "Page", address: str) -> None:
    """The model card, as the asset page opens it."""
    page.set_viewport_size({"width": 1300, "height": 1000})
    page.goto(f"{address}/assets/{MODEL}/card", wait_until="networkidle")
    title = open_text(page, "card").get_by_text("Model card:").first
    title.wait_for()
    page.wait_for_timeout(1000)
    title.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    page.screenshot(path=IMAGES / "card.png", clip={"x": 130, "y": 0, "width": 1040, "height": 1000})


def open_answer(page: "Page", address: str, model: str = MODEL) -> "Locator":
    """Open the endpoint's page and ask a model by its form; the model's card once the answer is there."""
    page.goto(address, wait_until="networkidle")
    asked = page.locator(f'[data-model="{model}"]')
    asked.get_by_role("button", name="Predict").click()
    asked.locator(".answer").wait_for()
    return asked


def first_page(page: "Page", address: str) -> None:
    """A model on the endpoint's page, with the answer to a request and what each feature added to it."""
    open_answer(page, address)
    asked = open_answer(page, address)
    page.wait_for_timeout(500)
    asked.screenshot(path=IMAGES / "endpoint.png")


def on_call(page: "Page", address: str) -> None:
    """How the models stand, on top of the endpoint's page."""
    page.goto(address, wait_until="networkidle")
    page.locator(".standing table").wait_for()
    page.locator(".standing").screenshot(path=IMAGES / "on-call.png")


if __name__ == "__main__":
    raise SystemExit(main())
