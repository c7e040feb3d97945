"""The README's curl line is answered as the page says, by an endpoint over a small replayed state."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from docs.tables import block_in, reply
from mlops_assets.local.probes import answers
from resources.settings import PROJECT_ROOT
from tests.conftest import needed_program
from tests.small_year import serving

README = (PROJECT_ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def port(small_home, tmp_path_factory, free_port):
    """The port of an endpoint over a copy of the small state."""
    home = tmp_path_factory.mktemp("endpoint")
    for folder in ("serving", "feast", "lake"):
        shutil.copytree(small_home / folder, home / folder)
    number = free_port()
    with serving(home, number) as process:
        until_answering(process, number, home)
        yield number


def until_answering(process: subprocess.Popen, number: int, home: Path) -> None:
    deadline = time.monotonic() + 120
    while not answers(f"http://127.0.0.1:{number}/healthz"):
        assert process.poll() is None, f"the endpoint over {home} ended while it started"
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_the_curl_line_is_answered_as_the_page_says(port):
    needed_program("curl", "apt-get install curl")
    told, found = json.loads(block_in(README, "reply")), reply(README, port)
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in told.items()
    }
    assert (found["model"], len(found["request_id"])) == (told["model"], len(told["request_id"]))
    assert 0 < found["probability"] < 1
    assert found["as_of"].startswith("2013-02-25T05:00:00")
    assert told["as_of"].startswith("2014-01-06T05:00:00")
