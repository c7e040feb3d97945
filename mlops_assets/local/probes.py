"""Questions to a running server: does it answer, and did Dagster load the project's code."""

import contextlib
import io
import json
import socket
import urllib.error
import urllib.request
from typing import Any

LOCATIONS = """{ workspaceOrError { __typename ... on PythonError { message } ... on Workspace { locationEntries {
    name locationOrLoadError { __typename ... on PythonError { message errorChain { error { message } } } } } } } }"""


def answers(address: str) -> bool:
    """Whether a GET is answered with 200 within seconds; of `tcp://host:port`, whether somebody listens there; of `grpc://`, whether code is served."""
    try:
        if address.startswith("grpc://"):
            return _serves(*address.removeprefix("grpc://").rsplit(":", 1))
        if address.startswith("tcp://"):
            host, _, port = address.removeprefix("tcp://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=5).close()
            return True
        with urllib.request.urlopen(address, timeout=5) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _serves(host: str, port: str) -> bool:
    """Whether a code server has loaded its code."""
    from dagster._grpc.client import DagsterGrpcClient

    with contextlib.redirect_stdout(io.StringIO()):  # where nobody listens it prints that
        return DagsterGrpcClient(host=host, port=int(port)).health_check_query() == "SERVING"


def load_errors(dagster: str) -> list[str]:
    """Why code locations of a Dagster server could not be loaded, one text each; none when all were."""
    try:
        workspace = _answer(dagster, {"query": LOCATIONS})["data"]["workspaceOrError"]
    except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
        return [f"{dagster} did not say which code it loaded: {error}"]
    if "message" in workspace:
        return [workspace["message"]]
    entries = workspace.get("locationEntries", [])
    problems = [(entry["name"], entry["locationOrLoadError"] or {}) for entry in entries]
    return [f"{name}: {_cause(problem)}" for name, problem in problems if "message" in problem]


START = """mutation Start($of: SensorSelector!) { startSensor(sensorSelector: $of) {
    __typename ... on PythonError { message } ... on SensorNotFoundError { message } } }"""


def start_sensor(dagster: str, name: str) -> str | None:
    """Switch a sensor on, as its page does; why that is not done, None where it is."""
    of = {
        "repositoryName": "__repository__",
        "repositoryLocationName": "mlops_assets",
        "sensorName": name,
    }
    try:
        answer = _answer(dagster, {"query": START, "variables": {"of": of}})["data"]["startSensor"]
    except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError) as error:
        return f"{dagster} did not switch the sensor {name} on: {error}"
    return answer.get("message")


def _cause(problem: dict[str, Any]) -> str:
    """The innermost message of a chain of errors: what a person has to correct."""
    chain = [link["error"]["message"] for link in problem.get("errorChain") or []]
    return (chain[-1] if chain else problem["message"]).strip()


def _answer(dagster: str, question: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{dagster}/graphql",
        data=json.dumps(question).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)
