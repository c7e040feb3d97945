"""Why a pod was lost, and what follows: more memory up to a limit, as it was, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from resources.pods.lost import MEBIBYTE, MEMORY_UP_TO, MOST_TAKEN, Cause, Loss, loss_of, retry_of

GIVEN = {
    "requests": {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"},
    "limits": {"memory": "1Gi", "nvidia.com/gpu": "1"},
}


def pod(state=None, up_to="4Gi", resources=GIVEN, **status):
    """A pod whose first container is in a state, with one beside it that ended well."""
    beside = {"name": "proxy", "state": {"terminated": {"reason": "Completed", "exitCode": 0}}}
    statuses = [beside, *([{"name": "dagster", "state": state}] if state else [])]
    return {
        "metadata": {"name": "dagster-run-1-abc", "annotations": {MEMORY_UP_TO: up_to} if up_to else None},
        "spec": {"containers": [{"name": "dagster", "resources": resources}, {"name": "proxy"}]},
        "status": {"phase": "Failed", "containerStatuses": statuses, **status},
    }


def ended(reason, code):
    return {"terminated": {"reason": reason, "exitCode": code}}


def disrupted(reason):
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason}]


@pytest.mark.parametrize(
    ("seen", "cause", "said"),
    [
        (pod(ended("OOMKilled", 137)), Cause.MEMORY, "out of memory"),
        (pod(ended("OOMKilled", 137), reason="Evicted", message="low on memory"), Cause.MEMORY, "OOMKilled"),
        (pod(ended("Error", 137)), Cause.TAKEN, "SIGKILL"),
        (pod(ended("Error", 143)), Cause.TAKEN, "SIGTERM"),
        (pod(ended("Error", 1)), Cause.ERROR, "exit code 1"),
        (pod(ended("Error", 139)), Cause.ERROR, "exit code 139"),
        (
            pod(ended("Error", 1), conditions=disrupted("PreemptionByScheduler")),
            Cause.TAKEN,
            "higher priority",
        ),
        (pod(conditions=disrupted("DeletionByTaintManager")), Cause.TAKEN, "its node was taken back"),
        (pod(conditions=disrupted("SomethingNew")), Cause.TAKEN, "SomethingNew"),
        (pod(reason="Preempting"), Cause.TAKEN, "higher priority"),
        (pod(reason="NodeShutdown"), Cause.TAKEN, "shut down"),
        (
            pod(reason="Evicted", message="The node was low on resource: memory."),
            Cause.TAKEN,
            "low on resource",
        ),
        (
            pod(
                reason="Evicted",
                message="Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.",
            ),
            Cause.ERROR,
            "filled more disk",
        ),
        (
            pod({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}),
            Cause.ERROR,
            "no such image",
        ),
        (pod({"waiting": {"reason": "ContainerCreating"}}), Cause.TAKEN, "says nothing of an end"),
        (None, Cause.TAKEN, "nothing is left"),
    ],
)
def test_the_cause_is_read_from_the_container_that_works(seen, cause, said):
    loss = loss_of(seen)
    assert loss.cause is cause and said in loss.sentence


def test_a_job_that_ran_too_long_is_an_error_whatever_its_pod_says():
    late = {
        "metadata": {"name": "dagster-run-1"},
        "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]},
    }
    assert loss_of(pod(ended("Error", 137)), late).cause is Cause.ERROR
    assert loss_of(None, late).cause is Cause.ERROR


def test_out_of_memory_is_tried_with_twice_as_much_and_all_else_restated():
    retry = retry_of(loss_of(pod(ended("OOMKilled", 137))), 1)
    assert retry.again and retry.resources == {
        "requests": {"cpu": "2", "memory": "2048Mi", "nvidia.com/gpu": "1"},
        "limits": {"memory": "2048Mi", "nvidia.com/gpu": "1"},
    }
    assert retry.sentence.endswith("with 1024Mi: it is tried again with 2048Mi")


def test_memory_stops_at_its_limit_and_says_what_to_raise():
    retry = retry_of(loss_of(pod(ended("OOMKilled", 137), up_to="1Gi")), 1)
    assert not retry.again and "memory_up_to is 1024Mi: raise it" in retry.sentence


def test_without_a_limit_there_is_none_to_raise():
    retry = retry_of(loss_of(pod(ended("OOMKilled", 137), resources={})), 1)
    assert not retry.again and "no memory limit" in retry.sentence


def test_what_was_taken_away_is_tried_as_it_was_and_an_error_never():
    taken, error = loss_of(pod(reason="Preempting")), loss_of(pod(ended("Error", 1)))
    assert (retry_of(taken, 1).again, retry_of(taken, 1).resources) == (True, None)
    assert not retry_of(taken, MOST_TAKEN + 1).again
    assert not any(retry_of(error, tries).again for tries in range(1, 20))


@given(
    memory=some.integers(MEBIBYTE, 2**44),
    most=some.integers(MEBIBYTE, 2**46),
)
def test_memory_grows_to_its_limit_in_finitely_many_tries_and_never_beyond(memory, most):
    tries = 0
    while True:
        loss = Loss(Cause.MEMORY, "lost", {"limits": {"memory": memory}}, memory, most)
        retry = retry_of(loss, tries + 1)
        if not retry.again:
            break
        assert retry.resources is not None
        more = int(retry.resources["limits"]["memory"].removesuffix("Mi")) * MEBIBYTE
        assert memory < more < most + MEBIBYTE
        assert retry.resources["requests"]["memory"] == retry.resources["limits"]["memory"]
        memory, tries = more, tries + 1
    assert memory >= most and tries <= 48
