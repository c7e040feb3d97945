"""A real `dagster dev` with daemon, spoken to through its GraphQL API as its web page does."""

import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from mlops_assets.local.processes import Server, Supervisor
from resources.settings import PROJECT_ROOT

LOCATION = {"repositoryName": "__repository__", "repositoryLocationName": "mlops_assets"}
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
BACKFILL = """
mutation Launch($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
BACKFILL_STATUS = """
query Status($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status error { message } } } }
"""
LAUNCH = """
mutation Launch($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
RUNS = """
query Runs($filter: RunsFilter) { runsOrError(filter: $filter) {
  ... on Runs { results { runId status jobName creationTime endTime assetSelection { path } tags { key value } } } } }
"""
LOGS = """
query Logs($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
  __typename ... on MessageEvent { message } } } } }
"""
TERMINATE = """
mutation Terminate($run: String!) { terminateRun(runId: $run) { __typename } }
"""
RELOAD = """
mutation Reload($location: String!) { reloadRepositoryLocation(repositoryLocationName: $location) { __typename } }
"""
START_SENSOR = """
mutation Start($selector: SensorSelector!) { startSensor(sensorSelector: $selector) {
  __typename ... on PythonError { message } } }
"""
TICKS = """
query Ticks($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) {
  ... on Sensor { sensorState { status ticks(limit: 50) { status timestamp skipReason error { message } } } } } }
"""


class Dagster:
    """The API of one running `dagster dev`."""

    def __init__(self, address: str):
        self.address = address

    def ask(self, query: str, **variables: Any) -> Any:
        """The answer to one query, without the name of its only field."""
        reply = httpx.post(
            f"{self.address}/graphql", json={"query": query, "variables": variables}, timeout=120
        )
        told = reply.json()
        assert "errors" not in told, told
        (answer,) = told["data"].values()
        return answer

    def assets(self) -> dict[tuple[str, ...], bool]:
        """Paths of all assets, and whether each has partitions."""
        nodes = self.ask("{ assetNodes { assetKey { path } isPartitioned } }")
        return {tuple(node["assetKey"]["path"]): node["isPartitioned"] for node in nodes}

    def materialize_all(self, without: Collection[str] = (), span: tuple[str, str] | None = None) -> str:
        """Launch what the page's "Materialize all" launches, but for assets that begin so, and return the backfill's id.

        `span` are the first and the last partition to make, where not all are wanted.
        """
        selection = {path: has for path, has in self.assets().items() if path[0] not in without}
        wanted = {"range": dict(zip(("start", "end"), span, strict=True))} if span else None
        of_assets = [
            {"assetKey": {"path": path}, "partitions": wanted if has else None}
            for path, has in selection.items()
        ]
        everything = {"assetSelection": [{"path": path} for path in selection], "allPartitions": True}
        answer = self.ask(BACKFILL, params={"partitionsByAssets": of_assets} if span else everything)
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return answer["backfillId"]

    def backfill_status(self, backfill: str) -> str:
        """Where a backfill stands."""
        answer = self.ask(BACKFILL_STATUS, id=backfill)
        return answer["status"] + (f": {answer['error']['message']}" if answer["error"] else "")

    def launch(self, job: str, week: str | None = None) -> str:
        """Launch a job, for one week where it has weeks, and return the run's id."""
        tags = [{"key": "dagster/partition", "value": week}] if week else []
        selector = {**LOCATION, "jobName": job}
        params = {"selector": selector, "runConfigData": {}, "executionMetadata": {"tags": tags}}
        answer = self.ask(LAUNCH, params=params)
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return answer["run"]["runId"]

    def runs(self, **filters: Any) -> list[dict[str, Any]]:
        """Runs, newest first, with their tags as a mapping."""
        found = self.ask(RUNS, filter=filters)["results"]
        return [run | {"tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]

    def status(self, run: str) -> str:
        """Where a run stands."""
        return self.runs(runIds=[run])[0]["status"]

    def ended(self, run: str, seconds: float = 120) -> str:
        """How a run ended; fails where it does not."""
        wait(lambda: self.status(run) in ENDED, f"run {run} ends", seconds)
        return self.status(run)

    def logs(self, run: str) -> list[str]:
        """What a run told, oldest first."""
        events = self.ask(LOGS, run=run)["events"]
        return [f"{event['__typename']}: {event.get('message', '')}" for event in events]

    def terminate(self, run: str) -> str:
        """Press Terminate on a run's page, and return what it says."""
        return self.ask(TERMINATE, run=run)["__typename"]

    def reload(self) -> None:
        """Press Reload on the Deployment page."""
        answer = self.ask(RELOAD, location=LOCATION["repositoryLocationName"])
        assert answer["__typename"] == "WorkspaceLocationEntry", answer

    def start_sensor(self, name: str) -> None:
        """Switch a sensor on."""
        answer = self.ask(START_SENSOR, selector={**LOCATION, "sensorName": name})
        assert answer["__typename"] == "Sensor", answer

    def ticks(self, name: str) -> list[dict[str, Any]]:
        """The sensor's newest evaluations, newest first."""
        return self.ask(TICKS, selector={**LOCATION, "sensorName": name})["sensorState"]["ticks"]


@contextmanager
def dagster_dev(
    port: int, environment: dict[str, str], log: Path, folder: Path = PROJECT_ROOT
) -> Iterator[Dagster]:
    """A bare `dagster dev` in the project's root or another folder, and nothing of it afterwards."""
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)]
    before = set(folder.glob(".tmp_dagster_home_*"))
    supervisor = Supervisor()
    supervisor.start(
        Server("Dagster", command, address, f"{address}/server_info", "", log, environment, folder)
    )
    try:
        wait(lambda: _answers(address), "dagster dev answers", 240, lambda: supervisor.ended() is not None)
        yield Dagster(address)
    finally:
        left = supervisor.stop()
        for left_behind in set(folder.glob(".tmp_dagster_home_*")) - before:
            shutil.rmtree(left_behind)
        assert left == [], f"processes that could not be ended: {left}"


def wait(
    until: Callable[[], Any], what: str, seconds: float, hopeless: Callable[[], bool] = lambda: False
) -> Any:
    """The first true value of `until`; fails after the time, or when there is no hope left."""
    end = time.monotonic() + seconds
    while not (found := until()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s and still not: {what}"
        assert not hopeless(), f"will never be: {what}"
        time.sleep(1)
    return found


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/server_info", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
