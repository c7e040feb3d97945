"""Runs as pods on a real Kubernetes API: launched, killed, seen, tried again by what they were lost by, and cancelled."""

import json

import psutil
import pytest

from mlops_assets.ml.training.fit import fit
from resources.compute.compute import Compute
from tests.acceptance.dagster_server import wait
from tests.acceptance.pod_cluster import TEAM, pod_cluster
from tests.acceptance.stand_in_operator import StandInOperator
from tests.acceptance.test_fit_on_another_host import write_weeks
from tests.acceptance.test_fit_on_kuberay import FEATURES, INNER, on_local, spec_of

pytestmark = pytest.mark.nightly
"""What is decided is in `tests/resources/pods/test_lost.py`, and the launcher by itself in `test_launched_pods.py`."""


ERRORS = """
query Errors($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
  ... on EngineEvent { error { message } } } } } }
"""


@pytest.fixture(scope="module")
def cluster(kubeconfig, free_port, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KUBECONFIG", "POD_RUNS", "PYTHONPATH"):
            patch.setenv(name, "")
        with pod_cluster(tmp_path_factory.mktemp("pods"), kubeconfig, free_port) as up:
            yield up


def memory_of(cluster, run):
    from kubernetes.client import CoreV1Api

    [pod] = CoreV1Api(cluster.admin).list_namespaced_pod(TEAM, label_selector=f"dagster/run-id={run}").items
    return pod.spec.containers[0].resources.limits["memory"]


def test_a_run_that_ran_out_of_memory_is_tried_again_with_more_from_the_step_where_it_was(cluster):
    run = cluster.dagster.launch("hungry")
    assert cluster.dagster.ended(run) == "FAILURE"
    assert memory_of(cluster, run) == "300Mi"
    assert cluster.tags(run)["mlops/lost"].endswith("(OOMKilled) with 300Mi: it is tried again with 600Mi")
    again = cluster.retried(run)
    assert cluster.dagster.ended(again) == "SUCCESS", cluster.node.log(cluster.pod(again))
    assert memory_of(cluster, again) == "600Mi"
    assert (cluster.folder / "result").read_text() == f"{again} {350 * 2**20}"
    assert (cluster.folder / "prepared").read_text().split() == [run]
    assert cluster.end(run) == ("OOMKilled", 137) and cluster.end(again) == ("Completed", 0)


def test_memory_is_raised_to_its_limit_and_no_further(cluster):
    run = cluster.dagster.launch("starved")
    assert cluster.dagster.ended(run) == "FAILURE"
    tags = cluster.tags(run)
    assert "memory_up_to is 300Mi: raise it" in tags["mlops/lost"]
    assert tags["dagster/will_retry"] == "false"


def test_a_run_whose_node_is_taken_back_is_tried_again_as_it_was_and_writes_nothing_by_halves(cluster):
    run = cluster.dagster.launch("slow")
    begun(cluster, run)
    cluster.node.lose(
        cluster.pod(run), "NodeShutdown", "Pod was terminated in response to imminent node shutdown."
    )
    assert cluster.dagster.ended(run) == "FAILURE"
    assert not (cluster.folder / "slow").exists()
    again = cluster.retried(run)
    begun(cluster, again)
    assert memory_of(cluster, again) == memory_of(cluster, run) == "2Gi"
    assert "its node was shut down (NodeShutdown)" in cluster.tags(again)["mlops/lost"]
    (cluster.folder / "go-on").touch()
    assert cluster.dagster.ended(again) == "SUCCESS"
    (cluster.folder / "go-on").unlink()
    assert (cluster.folder / "slow").read_bytes() == b"whole " * 1000


def test_a_run_that_is_killed_from_outside_is_tried_again(cluster):
    run = cluster.dagster.launch("slow")
    begun(cluster, run)
    cluster.node.kill(cluster.pod(run))
    again = cluster.retried(run)
    begun(cluster, again)
    assert "stopped from outside (SIGKILL)" in cluster.tags(run)["mlops/lost"]
    assert cluster.dagster.terminate(again) == "TerminateRunSuccess"
    assert cluster.dagster.ended(again) == "CANCELED"


@pytest.mark.parametrize("job", ["leaves", "fails"])
def test_an_error_is_not_tried_again(cluster, job):
    run = cluster.dagster.launch(job)
    assert cluster.dagster.ended(run) == "FAILURE"
    tags = cluster.tags(run)
    assert tags["dagster/will_retry"] == "false"
    said = "its container ended by itself (Error, exit code 3): the same would happen again"
    assert (said in tags.get("mlops/lost", "")) == (job == "leaves")


def test_a_run_that_is_cancelled_ends_its_process_and_leaves_no_job(cluster):
    run = cluster.dagster.launch("slow")
    begun(cluster, run)
    process = psutil.Process(cluster.node.process(cluster.pod(run)).pid)
    assert cluster.dagster.terminate(run) == "TerminateRunSuccess"
    assert cluster.dagster.ended(run) == "CANCELED"
    wait(lambda: not process.is_running(), "its process ends", 60)
    wait(lambda: f"dagster-run-{run}" not in cluster.jobs(), "its Job is gone", 60)
    assert "mlops/lost" not in cluster.tags(run)


def test_a_run_whose_job_is_deleted_by_hand_is_not_tried_again(cluster):
    from kubernetes.client import BatchV1Api

    run = cluster.dagster.launch("slow")
    begun(cluster, run)
    BatchV1Api(cluster.admin).delete_namespaced_job(
        f"dagster-run-{run}", TEAM, propagation_policy="Background"
    )
    assert cluster.dagster.ended(run) in ("FAILURE", "CANCELED")
    assert cluster.tags(run).get("dagster/will_retry", "false") == "false"


def test_a_step_in_a_pod_of_its_own_is_tried_again_with_more_memory_and_those_before_it_are_not(cluster):
    run = cluster.dagster.launch("in_steps")
    assert cluster.dagster.ended(run, 240) == "FAILURE"
    assert "(OOMKilled) with 300Mi: it is tried again with 600Mi" in cluster.tags(run)["mlops/lost"]
    prepared = (cluster.folder / "prepared").read_text().split().count(run)
    again = cluster.retried(run)
    assert cluster.dagster.ended(again, 240) == "SUCCESS", cluster.dagster.logs(again)[-10:]
    assert (cluster.folder / "prepared").read_text().split().count(again) == 0 and prepared == 2
    assert (
        json.loads(cluster.tags(again)["mlops/step_resources"])["hold_in_a_pod"]["limits"]["memory"]
        == "600Mi"
    )


def test_what_a_tag_may_not_say_of_a_pod_is_refused(cluster):
    run = cluster.dagster.launch("privileged")
    assert cluster.dagster.ended(run) == "FAILURE"
    events = cluster.dagster.ask(ERRORS, run=run)["events"]
    [told] = [event["error"]["message"] for event in events if event.get("error")]
    assert "violated the allowed list: container_config.security_context" in told
    assert cluster.pods(run) == []


def test_a_fit_becomes_a_rayjob_that_knows_the_run_which_sent_it(cluster, tmp_path):
    import ray

    files = write_weeks("s3://mlops/lake")
    local = Compute(folder=str(tmp_path / "local"), cpus=4)
    local.connect("local")
    try:
        address, own = ray.get_runtime_context().gcs_address, ("ray.io", "v1", TEAM, "rayjobs")
        with StandInOperator(cluster.admin, address, tmp_path, own=own) as operator:
            run = cluster.dagster.launch("fits")
            assert cluster.dagster.ended(run, 240) == "SUCCESS", cluster.node.log(cluster.pod(run))
        assert operator.sent["mlops-a-fit"]["mlops-assets/run"] == run
        assert operator.jobs.list_namespaced_custom_object(*own)["items"] == []
        here = fit(files, on_local(spec_of(INNER)), FEATURES, reach=local)
        assert (cluster.folder / "model").read_bytes() == here.model
    finally:
        ray.shutdown()


def begun(cluster, run):
    wait((cluster.folder / f"begun-{run}").exists, f"run {run} begins", 120)
