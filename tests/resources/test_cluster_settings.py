"""One set of definitions, two sets of resources: which one is chosen, what a cluster lacks, and what a secret brings."""

import json
import os
import re
import subprocess
import sys
import uuid

import boto3
import pytest

from resources.cluster import dagster_resources, resources_of
from resources.cluster_settings import NEEDED
from resources.settings import PROJECT_ROOT, settings
from resources.state_folder import SettingsError
from resources.storage.s3_server import KEYS
from resources.with_secrets import KEY, environment
from tests.s3 import served

PASSWORD = "hunter2-9c1f"


def whole(tmp_path, **changes: str) -> dict[str, str]:
    return {"MLOPS_ENV": "cluster", "MLOPS_HOME": str(tmp_path), **NEEDED, **changes}


@pytest.mark.parametrize("variable", NEEDED)
def test_a_cluster_that_lacks_something_is_refused_by_its_name_with_an_example(variable, tmp_path):
    given = whole(tmp_path)
    del given[variable]
    with pytest.raises(
        SettingsError, match=rf"^{variable} is not set, .* give for instance {re.escape(NEEDED[variable])}$"
    ):
        settings(given)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MLOPS_LAKE", "/data/lake"),
        ("MLOPS_AUDIT", "/data/audit"),
        ("MLFLOW_TRACKING_URI", "sqlite:////x.db"),
    ],
)
def test_a_place_on_one_machine_is_refused_on_a_cluster(variable, value, tmp_path):
    with pytest.raises(SettingsError, match=f"^{variable} lies on one machine"):
        settings(whole(tmp_path, **{variable: value}))


def test_a_simulated_clock_is_refused_on_a_cluster(tmp_path):
    with pytest.raises(SettingsError, match="MLOPS_CLOCK_START simulates"):
        settings(whole(tmp_path, MLOPS_CLOCK_START="2024-01-01T00:00:00Z"))


@pytest.mark.parametrize("variable", ["MLOPS_DAGSTER_DB", "MLOPS_FEAST_REGISTRY"])
def test_an_address_without_its_driver_is_refused_and_its_password_not_repeated(variable, tmp_path):
    with pytest.raises(SettingsError, match="the driver named") as told:
        settings(whole(tmp_path, **{variable: f"postgresql://me:{PASSWORD}@host/x"}))
    assert variable in str(told.value) and PASSWORD not in str(told.value)


def test_both_sets_have_the_same_systems(tmp_path):
    local, cluster = (
        resources_of(settings({"MLOPS_HOME": str(tmp_path)})),
        resources_of(settings(whole(tmp_path))),
    )
    assert {name: type(one) for name, one in local.items()} == {
        name: type(one) for name, one in cluster.items()
    }
    assert cluster["endpoint"].shared == "s3://bucket/shared/serving"
    assert cluster["serving_log"].folder == "s3://bucket/shared/serving_log"
    assert local["endpoint"].shared == local["tracking"].shared == ""


def test_values_between_steps_lie_in_the_bucket(tmp_path):
    assert dagster_resources(settings({"MLOPS_HOME": str(tmp_path)})) == {}
    manager = dagster_resources(settings(whole(tmp_path)))["io_manager"]
    assert (manager.s3_bucket, manager.s3_prefix) == ("bucket", "shared/dagster/values")


def test_no_password_is_in_what_the_resources_are_configured_with(tmp_path, monkeypatch):
    given = whole(tmp_path) | {name: value.replace("password", PASSWORD) for name, value in NEEDED.items()}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    where = settings()
    said = (
        repr(where)
        + repr(resources_of(where))
        + "".join(one.model_dump_json() for one in resources_of(where).values())
    )
    assert PASSWORD not in said and "env:MLOPS_FEAST_REGISTRY" in said


def test_the_table_of_the_page_is_what_a_cluster_needs():
    page = (PROJECT_ROOT / "docs" / "production.md").read_text()
    table = re.search(r"<!-- needed -->\n(.*?)\n<!-- /needed -->", page, re.DOTALL)
    assert table and table[1] == "\n".join(f"| `{name}` | `{example}` |" for name, example in NEEDED.items())


@pytest.fixture
def secret_of():
    """Puts a text into a Secrets Manager that the variables name, and returns the secret's name."""
    with served() as address:

        def put(text: str) -> str:
            keeper, name = boto3.client("secretsmanager", endpoint_url=address, **KEYS), uuid.uuid4().hex
            keeper.create_secret(Name=name, SecretString=text)
            return name

        yield put


def test_a_process_starts_with_what_its_secret_holds_and_the_key_goes_into_its_file(secret_of, tmp_path):
    name = secret_of(json.dumps({"MLOPS_ONLINE_STORE": "theirs", "MLOPS_DAGSTER_DB": "db", KEY: "ab" * 32}))
    given = os.environ | {"MLOPS_SECRET": name, "MLOPS_HOME": str(tmp_path), "MLOPS_ONLINE_STORE": "mine"}
    says = "import os, json; print(json.dumps(dict(os.environ)))"
    command = [sys.executable, "-m", "resources.with_secrets", sys.executable, "-c", says]
    done = subprocess.run(command, env=given, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert (found["MLOPS_ONLINE_STORE"], found["MLOPS_DAGSTER_DB"]) == ("mine", "db")
    assert KEY not in found
    file = tmp_path / "keys" / "audit.key"
    assert file.read_text() == "ab" * 32 + "\n" and file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", [f"{PASSWORD}", f'["{PASSWORD}"]', f'{{"A": {{"B": "{PASSWORD}"}}}}'])
def test_a_secret_that_is_no_object_of_texts_is_refused_and_not_repeated(secret_of, text):
    name = secret_of(text)
    with pytest.raises(SettingsError, match=rf"MLOPS_SECRET='{name}' holds no JSON object of texts") as told:
        environment({"MLOPS_SECRET": name})
    assert PASSWORD not in str(told.value)


def test_a_secret_that_is_not_there_is_told_with_what_to_do(secret_of):
    with pytest.raises(SettingsError, match=r"MLOPS_SECRET='nobodys' cannot be read .* make the secret"):
        environment({"MLOPS_SECRET": "nobodys"})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"MLOPS_ENV": "local", "MLOPS_RUN_NAMESPACE": "ml"},
            "MLOPS_RUN_NAMESPACE='ml' makes runs pods, .* set MLOPS_ENV to cluster",
        ),
        (
            {"MLOPS_RUN_NAMESPACE": "ml"},
            "MLOPS_IMAGE is not set, which pods of MLOPS_RUN_NAMESPACE are made of",
        ),
        ({"MLOPS_RUN_NAMESPACE": "M L"}, "MLOPS_RUN_NAMESPACE='M L' names no Kubernetes namespace"),
        ({"MLOPS_SPOT_NODES": "spot"}, "MLOPS_SPOT_NODES='spot' is no label: give key=value"),
    ],
)
def test_runs_are_pods_only_of_a_cluster_with_an_image(changes, said, tmp_path):
    with pytest.raises(SettingsError, match=said):
        settings(whole(tmp_path, **changes))
