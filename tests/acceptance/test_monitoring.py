"""A shift that is planted in real data goes from metric to rule to alert to message, and every panel's query gives series."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import dagster as dg
import httpx
import polars as pl
import pytest

from docs import screenshots
from mlops_assets.local import monitoring
from mlops_assets.local.exporter import application, send_until
from mlops_assets.local.processes import Supervisor
from mlops_assets.local.running import Stop, wait_until_up
from mlops_assets.local.servers import prepare_dagster_home
from mlops_assets.promotion.rollout_states import put
from mlops_assets.spec.rollout import RolloutPlan
from mlops_assets.stages.arrivals import overdue_name
from mlops_assets.stages.reporting import write_drift, write_performance
from resources.cluster import resources_of
from resources.records.rollout import Promise, Rollout
from resources.settings import PROJECT_ROOT, Settings, settings
from tests.acceptance import alarmed
from tests.acceptance.test_first_page import served
from tests.conftest import needed_program
from tests.receivers import Webhooks, webhooks
from tests.resources.endpoint_in_process import TRIP, endpoint
from tests.stages.test_drift_page import SPEC, WEEK, reported

NAME = SPEC.name
PATIENCE_S = 90.0


@dataclass
class Watched:
    """A state with one model, watched by a real exporter, Prometheus and Alertmanager."""

    where: Settings
    receiver: Webhooks
    exporter: str
    prometheus: str

    def asked(self, query: str) -> list[dict[str, Any]]:
        """What Prometheus answers to a query now."""
        answer = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": query}, timeout=10).json()
        assert answer["status"] == "success", (query, answer)
        return answer["data"]["result"]


def wait_for(what: Callable[[], Any], said: str = "it") -> Any:
    until = time.monotonic() + PATIENCE_S
    while not (value := what()):
        assert time.monotonic() < until, f"{said} did not come in time"
        time.sleep(0.2)
    return value


def state_of(where: Settings) -> None:
    """A model with a champion, a calm report, quality, a roll-out, a late table and a cost."""
    lake = reported(where.home / "lake")
    parts = resources_of(where)
    lake.write(SPEC.prediction.table, lake.read(f"{NAME}/training_set", [WEEK]), WEEK)
    write_drift(SPEC, lake, WEEK, "none")
    write_performance(SPEC, lake, WEEK)
    parts["audit"].record(
        "promoted", NAME, identity={"version": 1}, by="ada", why="first", moment=None, evidence={}, version=1
    )
    now = datetime(2020, 2, 1, tzinfo=UTC).isoformat()
    plan = RolloutPlan(answers_influence_labels=False).model_dump(mode="json")
    promise = Promise(kind="promoted", by="ada", why="better", evidence={})
    facts = {"model": NAME, "number": 1, "version": 2, "champion": 1, "origin": "promotion", "plan": plan}
    put(lake, Rollout.model_validate(facts | {"promise": promise, "started": now, "since": now}), None)
    lake.write_json(overdue_name(SPEC.use_case), {"parcels/weather": {"2020-02-03": {"outcome": "missing"}}})
    prepare_dagster_home(where)
    with dg.DagsterInstance.from_config(str(where.dagster_home)) as instance:
        spent = dg.AssetMaterialization([NAME, "model"], metadata={"cpu seconds": 7200.0})
        instance.report_runless_asset_event(spent)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Watched]:
    for program, package in monitoring.PACKAGES.items():
        needed_program(program, f"apt-get install {package}")
    home = tmp_path_factory.mktemp("watched")
    (home / "alerts.yaml").write_text(
        "routes: {team: TEAM_OF_THIS_TEST}\nsend: [{to: [team]}]\ngroup_seconds: 0\n"
    )
    ports = {
        f"MLOPS_{name}_PORT": str(free_port()) for name in ("METRICS", "PROMETHEUS", "ALERTMANAGER", "SERVE")
    }
    environment = {"MLOPS_HOME": str(home / "home"), "MLOPS_ALERTS": str(home / "alerts.yaml"), **ports}
    where, supervisor, over = settings(environment), Supervisor(), Event()
    with pytest.MonkeyPatch.context() as patch, webhooks() as receiver:
        patch.setenv("DAGSTER_HOME", "")
        patch.setenv("TEAM_OF_THIS_TEST", receiver.address)
        state_of(where)
        exporter = application(where, lambda: {NAME: SPEC}, 0.0)
        sender = Thread(target=send_until, args=(over, resources_of(where)["alerts"], 0.5))
        sender.start()
        try:
            with (
                served(endpoint(home / "endpoint"), where.serve_port) as models,
                served(exporter, where.metrics_port) as address,
            ):
                asks(models)
                for server in at_once(where):
                    supervisor.start(server)
                    wait_until_up(server, supervisor, Stop())
                yield Watched(where, receiver, address, f"http://127.0.0.1:{where.prometheus_port}")
        finally:
            supervisor.stop()
            over.set()
            sender.join()


def asks(models: str) -> None:
    for body in ([TRIP], [{"wrong": 1}]):
        httpx.post(f"{models}/predict/trips", json=body, timeout=30)


def at_once(where: Settings) -> list[Any]:
    """Prometheus and Alertmanager that look every second, by rules that do not wait."""
    folder = monitoring.write_configuration(where, 1.0)
    rules = (folder / "rules.yml").read_text()
    (folder / "rules.yml").write_text(rules.replace("for: 1m", "for: 0s").replace("[5m]", "[1m]"))
    routes = (folder / "alertmanager.yml").read_text()
    (folder / "alertmanager.yml").write_text(
        routes.replace("group_wait: 5s", "group_wait: 0s").replace("1m", "1s")
    )
    return monitoring.servers(where, folder, 0.0)[1:]


def test_a_planted_shift_goes_from_metric_to_alert_to_message_on_the_page(watched: Watched):
    with screenshots.browser(1300, 1000) as page:
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(watched.exporter)
        row = page.locator("#metrics tr", has_text=NAME)
        assert "alarm" not in row.inner_text()
        assert [one["value"][1] for one in wait_for(lambda: watched.asked("mlops_drift_alarm"))] == ["0"]
        assert not watched.asked('ALERTS{alertname="ModelDrifts"}')

        lake = resources_of(watched.where)["lake"]
        scored = lake.read(f"{NAME}/predictions", [WEEK])
        lake.write(f"{NAME}/predictions", scored.with_columns(pl.col("score") + 0.4), WEEK)
        write_drift(SPEC, lake, WEEK, "none")

        wait_for(lambda: watched.asked('ALERTS{alertname="ModelDrifts",alertstate="firing"}'))
        message = wait_for(lambda: next(iter(drifts(watched)), None))
        assert f"{NAME}: the newest partition raised the drift alarm" in message["message"]
        assert "docs/alerts.md#modeldrifts" in message["message"]
        assert f"/assets/{NAME}/drift" in message["message"] and f"Owner: {SPEC.owner}" in message["message"]
        page.reload()
        assert ": alarm" in page.locator("#metrics tr", has_text=NAME).inner_text()
        alert = page.locator("#alerts tr", has_text="raised the drift alarm")
        assert "mlops alerts ack" in alert.inner_text()
        sent = page.locator("#messages tr", has_text=alert.locator("code").inner_text())
        wait_for(lambda: page.reload() and "not yet" not in sent.inner_text())
        assert "team" in sent.inner_text() and errors == []
    assert len(drifts(watched)) == 1


def drifts(watched: Watched) -> list[dict[str, Any]]:
    """The messages that came and tell of drift."""
    said = [one for one in watched.receiver.got if "drift alarm" in one["message"]]
    return [one for one in said if NAME in one["message"]]


def close_dialog(page: Any) -> None:
    page.keyboard.press("Escape")
    page.locator(screenshots.DIALOG).first.wait_for(state="hidden")


def test_two_clicks_lead_from_an_alarm_to_its_cause_and_one_more_to_evidentlys_page(watched: Watched):
    workspace = alarmed.workspace(watched.where.home / "heavy")
    with (
        screenshots.webserver(watched.where, workspace) as dagster,
        screenshots.endpoint(watched.where) as models,
        screenshots.browser(1500, 2600) as page,
    ):
        alarmed.alarm(watched.where, dagster, models)
        page.goto(watched.exporter)
        page.locator("#alerts tr", has_text="drift alarm").get_by_role("link", name="heavy_parcel").click()
        moved = page.get_by_text("what moved the score", exact=True)
        moved.wait_for(timeout=60_000)
        cause = screenshots.open_text(page, "what moved the score").inner_text()
        assert "weight" in cause and f"{alarmed.VIEW} {alarmed.WEEK} (content " in cause
        assert f"code {alarmed.CODE[:12]}" in cause
        close_dialog(page)
        assert "depot" in screenshots.open_text(page, "slices that moved the score").inner_text()
        close_dialog(page)
        drawn = screenshots.open_picture(page, "then and now")
        assert drawn.count() >= 2
        assert all(drawn.nth(at).evaluate("image => image.naturalWidth") > 0 for at in range(2))
        close_dialog(page)
        link = page.get_by_role("link", name=f"{models}/reports/heavy_parcel/drift/{alarmed.WEEK}")
        with page.context.expect_page() as opened:
            link.click()
        report = opened.value
        errors: list[str] = []
        report.on("pageerror", lambda error: errors.append(str(error)))
        report.get_by_text("Dataset Drift", exact=True).wait_for()
        assert report.get_by_text("Exact scores of all").is_visible() and errors == []


DASHBOARDS = sorted((PROJECT_ROOT / "deployments" / "monitoring" / "dashboards").glob("*.json"))


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_every_query_of_every_panel_gives_series(file: Path, watched: Watched):
    panels = json.loads(file.read_text())["panels"]
    assert len(panels) > 5 and [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    wait_for(lambda: watched.asked("mlops_alerts_untaken"))
    for panel in panels:
        for target in panel["targets"]:
            query = target["expr"].replace("$model", ".*").replace("[5m]", "[1m]")
            wait_for(lambda query=query: watched.asked(query), query)


def test_what_is_not_defined_has_no_series(watched: Watched):
    text = httpx.get(f"{watched.exporter}/metrics", timeout=30).text
    assert f'mlops_drift_psi{{model="{NAME}"}}' in text and "NaN" not in text
    assert "mlops_performance_low{" not in text or "None" not in text
    wait_for(lambda: watched.asked(f'mlops_rollout_state{{model="{NAME}",state="running"}} == 1'))


def test_only_this_machine_may_ask(watched: Watched):
    strange = httpx.get(f"{watched.exporter}/metrics", headers={"Host": "evil.example"}, timeout=30)
    assert strange.status_code == 403
    wrong = httpx.post(f"{watched.exporter}/alertmanager", json={"version": "3"}, timeout=30)
    assert wrong.status_code == 422 and "no webhook of Alertmanager" in wrong.json()["error"]


def test_make_monitoring_starts_all_three_on_the_loopback_address_and_one_signal_ends_them(
    tmp_path, free_port
):
    for program, package in monitoring.PACKAGES.items():
        needed_program(program, f"apt-get install {package}")
    ports = {f"MLOPS_{name}_PORT": str(free_port()) for name in ("METRICS", "PROMETHEUS", "ALERTMANAGER")}
    environment = {**os.environ, "MLOPS_HOME": str(tmp_path / "home"), **ports}
    command = [sys.executable, "-m", "mlops_assets.cli", "monitoring"]
    with subprocess.Popen(
        command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = []
        while "Ctrl-C stops all." not in (line := process.stdout.readline()):
            lines.append(line)
            assert process.poll() is None
        assert all(f"http://127.0.0.1:{port}" in "".join(lines) for port in ports.values())
        listening = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=False).stdout
        ours = [
            line.split()[3]
            for line in listening.splitlines()
            if any(line.split()[3].endswith(f":{p}") for p in ports.values())
        ]
        assert all(address.startswith("127.0.0.1:") for address in ours)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    for port in ports.values():
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
    assert (tmp_path / "home" / "monitoring" / "prometheus").is_dir()
