"""What a cluster on one machine is started of: no secret on a command line, nothing that listens to others, and what ends first."""

import shutil
from dataclasses import asdict
from pathlib import Path

import boto3
import pytest
import yaml

from mlops_assets.local import cluster_parts
from mlops_assets.local.cluster import run_beside
from mlops_assets.local.cluster_parts import PLATFORM, STORES, Parts, Passwords, Ports, needed
from mlops_assets.local.running import DevError
from mlops_assets.local.servers import CLUSTER_YAML, DAGSTER_YAML, prepare_dagster_home
from resources.settings import settings
from resources.storage.s3_server import KEYS, read_back, written_down
from tests.s3 import served

OF_THE_LAPTOP = {"telemetry", "nux", "concurrency", "run_launcher", "run_monitoring", "retention"}


@pytest.fixture
def parts(tmp_path) -> Parts:
    where = settings({"MLOPS_HOME": str(tmp_path)})
    return Parts(tmp_path, where, Ports.of(where), Passwords.of(tmp_path / "passwords.json"))


@pytest.fixture
def programs(monkeypatch):
    """As if every program were installed."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


def test_passwords_are_made_once_and_are_nobody_elses(tmp_path, parts):
    assert Passwords.of(tmp_path / "passwords.json") == parts.passwords
    assert (tmp_path / "passwords.json").stat().st_mode & 0o777 == 0o600
    assert len(set(asdict(parts.passwords).values())) == 5
    assert not any(value in repr(settings(parts.secret)) for value in asdict(parts.passwords).values())


def test_no_command_line_has_a_secret_and_no_process_of_the_platform_gets_one_before_it_asks(parts, programs):
    started = [*parts.stores(), parts.mlflow(), *parts.platform()]
    secrets = asdict(parts.passwords).values()
    assert [one.name for one in started if any(value in " ".join(one.command) for value in secrets)] == []
    given = {one.name: str(dict(one.environment)) for one in parts.platform()}
    assert [name for name, text in given.items() if any(value in text for value in secrets)] == []


def test_every_process_of_the_platform_has_a_state_folder_of_its_own(parts, programs):
    homes = {one.environment["MLOPS_HOME"] for one in parts.platform()}
    runs = {one.environment["MLOPS_RUN_HOME"] for one in parts.platform()}
    assert len(homes) == 4 and len(runs) == 1 and not homes & runs


def test_the_platform_is_asked_to_end_before_what_it_needs(parts, programs):
    assert {one.wave for one in parts.platform()} == {PLATFORM}
    assert {one.wave for one in (*parts.stores(), parts.mlflow())} == {STORES} and PLATFORM < STORES


def test_a_program_that_is_missing_is_told_with_its_package(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(DevError, match=r"setpriv is not installed, .*: apt-get install util-linux"):
        needed("setpriv", "util-linux")


def test_root_runs_the_database_as_another_user(monkeypatch, programs):
    monkeypatch.setattr(cluster_parts.os, "geteuid", lambda: 0)
    assert "--reuid=postgres" in cluster_parts.as_postgres(["postgres"])
    monkeypatch.setattr(cluster_parts.os, "geteuid", lambda: 1000)
    assert cluster_parts.as_postgres(["postgres"]) == ["postgres"]


def test_a_command_beside_no_cluster_says_how_one_is_started(tmp_path):
    with pytest.raises(DevError, match=r"no cluster is up on .*: start it with `mlops cluster up`"):
        run_beside(settings({"MLOPS_HOME": str(tmp_path)}), ["true"])


def test_the_two_instances_differ_in_where_things_lie_and_in_who_launches_alone():
    local, cluster = (yaml.safe_load(file.read_text()) for file in (DAGSTER_YAML, CLUSTER_YAML))
    alike = OF_THE_LAPTOP - {"run_launcher"}
    assert {name: cluster[name] for name in alike} == {name: local[name] for name in alike}
    assert set(cluster) - set(local) == {"storage"}


def test_the_instance_of_a_cluster_names_no_secret(parts, monkeypatch, tmp_path):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    home = prepare_dagster_home(settings({**parts.environment("daemon"), **parts.secret}))
    text = (home / "dagster.yaml").read_text()
    assert not any(value in text for value in asdict(parts.passwords).values())
    said = yaml.safe_load(text)
    assert said["storage"] == {
        "postgres": {"postgres_url": {"env": "MLOPS_DAGSTER_DB"}, "should_autocreate_tables": True}
    }
    assert (said["compute_logs"]["config"]["bucket"], said["compute_logs"]["config"]["prefix"]) == (
        "mlops",
        "shared/dagster/output",
    )


def test_what_the_object_store_held_when_it_was_stopped_it_holds_again(tmp_path):
    names = {"a": b"1", "a/b": b"", "lake/x y%=/ü.parquet": b"\0" * 10_000, "l/" + "long" * 200: b"2"}
    with served() as address:
        s3 = boto3.client("s3", endpoint_url=address, **KEYS)
        s3.create_bucket(Bucket="ours")
        for name, content in names.items():
            s3.put_object(Bucket="ours", Key=name, Body=content)
        written_down(tmp_path)
        for name in names:
            s3.delete_object(Bucket="ours", Key=name)
        read_back(s3, tmp_path)
        held = {one["Key"] for one in s3.list_objects_v2(Bucket="ours")["Contents"]}
        assert {n: s3.get_object(Bucket="ours", Key=n)["Body"].read() for n in held} == names
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["lake.tar", "ours.tar"]
