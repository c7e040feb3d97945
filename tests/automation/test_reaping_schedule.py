"""The job that deletes what nobody waits for: what it writes down, and that it needs to know where runs are pods."""

import dagster as dg
import pytest

from mlops_assets.automation.reaping import KEY, reaper_job, reaper_schedule
from mlops_assets.commands.reap import _reap
from resources.state_folder import SettingsError
from tests.pod_settings import runs_are_pods


class Namespace:
    """A namespace with a Job whose run nobody knows, as the API would tell it."""

    def __init__(self, *_: object) -> None:
        self.namespace = "ml"
        self.deleted: list[str] = []

    def jobs(self, _: str) -> list[dict]:
        pod = {"containers": [{"name": "dagster", "resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}]}
        metadata = {
            "name": "dagster-run-1",
            "uid": "1",
            "creationTimestamp": "2024-01-01T00:00:00Z",
            "labels": {"dagster/run-id": "1"},
        }
        return [
            {
                "metadata": metadata,
                "spec": {"template": {"spec": pod}},
                "status": {"startTime": "2024-01-01T00:00:00Z"},
            }
        ]

    def rays(self, _: str) -> list[dict]:
        return []

    def delete_job(self, name: str, uid: str) -> bool:
        self.deleted.append(name)
        return True


def test_its_run_writes_down_what_was_deleted_and_what_it_held(monkeypatch, tmp_path):
    runs_are_pods(monkeypatch, tmp_path)
    there = Namespace()
    monkeypatch.setattr("resources.compute.kubernetes_api.api_client", lambda: None)
    monkeypatch.setattr("resources.pods.api.Workloads", lambda *_: there)
    with dg.instance_for_test() as instance:
        assert reaper_job().execute_in_process(instance=instance).success
        written = instance.get_latest_materialization_event(KEY)
    assert there.deleted == ["dagster-run-1"]
    assert written and written.asset_materialization
    shown = {name: value.value for name, value in written.asset_materialization.metadata.items()}
    assert shown["deleted"] == 1
    assert shown["cpu seconds"] == pytest.approx(2 * shown["seconds"], rel=1e-6)


def test_it_runs_every_hour_where_there_is_something_to_reap():
    schedule = reaper_schedule(reaper_job())
    assert (schedule.name, schedule.cron_schedule) == ("reap_every_hour", "17 * * * *")


def test_the_command_asks_for_a_namespace_where_runs_are_no_pods(monkeypatch):
    monkeypatch.delenv("MLOPS_RUN_NAMESPACE", raising=False)
    with pytest.raises(
        SettingsError, match=r"MLOPS_RUN_NAMESPACE is not set, .* name a namespace by --namespace"
    ):
        _reap()
