"""docs/your-data.md, followed line by line: a use case of one's own from a skeleton to an answer of the endpoint."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml

from mlops_assets.spec.batch import Batch
from mlops_assets.spec.dbt import DbtSpec
from mlops_assets.spec.http import HttpSource
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.table import TableSpec
from mlops_assets.spec.use_case import UseCase, reading
from resources.settings import PROJECT_ROOT
from tests.acceptance.pages import Reader
from tests.conftest import needed_program
from tests.small_year import environment, serving

PAGE = (PROJECT_ROOT / "docs" / "your-data.md").read_text()
COMMANDS, CURL = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
HEADER, DOCUMENTS, *_ = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str], list[str]]]:
    """The page's commands in an empty folder: where, the variables they set, and what each printed."""
    here, left = tmp_path_factory.mktemp("newcomer"), tmp_path_factory.mktemp("left")
    variables, said = environment(here / "state"), []
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables["PATH"]])
    reader = Reader(here, variables, left)
    for line in COMMANDS.strip().splitlines():
        done = reader.command(line)
        assert done.status == 0, done.output[-2000:] + done.errors[-2000:]
        said += [] if line.startswith("export ") else [done.output]
    yield here, reader.variables, said


def test_the_commands_of_the_page_lead_to_a_model_that_was_judged_on_real_labels(followed):
    here, _, (new, check, run) = followed
    assert "shop" in new and check.endswith("everything fits\n")
    assert "promoted as version" in run
    days = pl.read_csv(here / "state" / "replay" / "shop" / "partitions.csv")
    judged = days.filter(pl.col("auc").is_not_null())
    assert judged.height > 10 and 0.5 < judged["auc"].mean() < 1  # type: ignore[operator]
    assert days["labelled"].to_list()[-1] == 0, "the last day's labels are known a day later"


def test_the_pages_request_is_answered(followed, free_port: Callable[[], int]):
    needed_program("curl", "apt-get install curl")
    here, variables, _ = followed
    port = free_port()
    command = shlex.split(CURL.replace("localhost:8000", f"127.0.0.1:{port}"))
    more = {"MLOPS_USE_CASES": str(here / variables["MLOPS_USE_CASES"])}
    with serving(here / "state", port, **more):
        for _ in range(240):
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
            if done.returncode == 0 and "probability" in done.stdout:
                break
            time.sleep(0.5)
        answer = json.loads(done.stdout)
    assert 0 < answer["probability"] < 1 and answer["model"] == "shop_sent_back"


def test_the_files_that_the_page_shows_are_checked_as_they_stand():
    use_case = UseCase.model_validate({"name": "loans", **yaml.safe_load(HEADER)})
    applications, zipcodes, model = yaml.safe_load_all(DOCUMENTS)
    with reading(use_case):
        specs = [TableSpec.model_validate(one["attributes"]) for one in (applications, zipcodes)]
        spec = ModelSpec.model_validate(model["attributes"])
    assert [one.name for one in specs] == ["applications", "zipcodes"]
    assert spec.use_case == "loans" and spec.calendar == use_case.calendar


def test_every_field_of_the_pages_tables_is_a_field():
    tables = re.findall(r"\| field.*?\|\n\|---\|---\|\n(.*?)\n\n", PAGE, re.DOTALL)
    for rows, spec in zip(tables, (UseCase, TableSpec, HttpSource, DbtSpec, Batch), strict=True):
        named = [name for row in rows.splitlines() for name in re.findall(r"`([\w.]+)`", row.split("|")[1])]
        told, fields = {name.partition(".")[0] for name in named}, set(spec.model_fields)
        assert named and told <= fields
        assert fields - told <= {"name", "owner", "description", "kind"}, (
            "fields of which the page says nothing"
        )
