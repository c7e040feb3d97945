"""Who is deleted and who is left alone, and what the deleted held."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as some

from resources.pods.reaper import LIMITS, OVER, UNKNOWN, WAITS, Held, leftovers

NOW = datetime(2026, 3, 1, tzinfo=UTC)
POD = {
    "containers": [
        {
            "name": "dagster",
            "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "2Gi", "nvidia.com/gpu": "1"}},
        }
    ]
}
OURS = {"app.kubernetes.io/part-of": "mlops-assets"}


def ago(hours):
    return (NOW - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def job(name, hours, run="run-1", ended=None):
    status = {"startTime": ago(hours)}
    if ended is not None:
        status["conditions"] = [{"type": "Failed", "status": "True", "lastTransitionTime": ago(ended)}]
    labels = {"dagster/run-id": run} if run else {}
    metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": ago(hours), "labels": labels}
    return {"metadata": metadata, "spec": {"template": {"spec": POD}}, "status": status}


def rayjob(name, hours, state="Running", run="run-1", ended=None, labels=OURS):
    cluster = {
        "headGroupSpec": {"template": {"spec": POD}},
        "workerGroupSpecs": [{"replicas": 3, "template": {"spec": POD}}],
    }
    annotations = {"mlops-assets/run": run} if run else {}
    metadata = {
        "name": name,
        "uid": f"uid-{name}",
        "creationTimestamp": ago(hours),
        "labels": labels,
        "annotations": annotations,
    }
    status = {"jobDeploymentStatus": state, "startTime": ago(hours)} | (
        {"endTime": ago(ended)} if ended is not None else {}
    )
    return {"metadata": metadata, "spec": {"rayClusterSpec": cluster}, "status": status}


def cluster(name, hours, of, labels=OURS):
    made = rayjob(name, hours)
    labels = labels | {"ray.io/originated-from-cr-name": of}
    return {"metadata": made["metadata"] | {"labels": labels}, "spec": made["spec"]["rayClusterSpec"]}


def deleted(jobs=(), rayjobs=(), clusters=(), known=OVER):
    return {one.name: one for one in leftovers(jobs, rayjobs, clusters, lambda _: known, NOW, LIMITS)}


def test_a_job_goes_when_its_run_is_over_and_stays_while_somebody_waits():
    jobs = [job("old", 2), job("fresh", 0.1), job("another's", 50, run=None)]
    assert set(deleted(jobs)) == {"old"}
    assert deleted(jobs)["old"].why == "run run-1 is over, and its Job was still there"
    assert set(deleted(jobs, known=UNKNOWN)) == {"old"}
    assert deleted(jobs, known=WAITS) == {}


def test_a_job_that_ended_goes_a_day_later_whatever_its_run_does():
    jobs = [job("yesterday", 60, ended=30), job("today", 60, ended=10)]
    assert set(deleted(jobs, known=WAITS)) == set(deleted(jobs)) == {"yesterday"}


def test_a_rayjob_goes_when_no_run_waits_for_it():
    there = [
        rayjob("leaked", 3),
        rayjob("young", 0.5),
        rayjob("complete", 9, "Complete", ended=5),
        rayjob("taken", 9, "Complete", ended=0.5),
    ]
    there.append(rayjob("another's", 90, labels={}))
    assert set(deleted(rayjobs=there)) == {"leaked", "complete"}
    assert deleted(rayjobs=there, known=WAITS) == {}


def test_a_rayjob_of_unknown_origin_is_left_alone_for_longer():
    there = [rayjob("by hand", 20, run=None), rayjob("long ago", 30, run=None)]
    assert set(deleted(rayjobs=there, known=WAITS)) == {"long ago"}


def test_a_cluster_goes_when_its_rayjob_is_gone_or_has_ended():
    fits = [rayjob("works", 1), rayjob("done", 3, "Complete", ended=0.2)]
    there = [
        cluster("one", 5, "works"),
        cluster("two", 5, "done"),
        cluster("three", 5, "gone"),
        cluster("new", 0.2, "gone"),
    ]
    there.append(cluster("another's", 50, "gone", labels={}))
    assert set(deleted(rayjobs=fits, clusters=there, known=WAITS)) == {"two", "three"}


def test_what_was_held_is_what_was_asked_for_times_the_time_it_was_there():
    assert deleted([job("old", 2)])["old"].held == Held(7200, 3600, 4 * 3600, 7200)
    assert deleted([job("ended", 60, ended=30)])["ended"].held.gpu_seconds == 30 * 3600
    fit = deleted(rayjobs=[rayjob("fit", 2)])["fit"].held
    assert fit == Held(7200, 4 * 3600, 4 * 4 * 3600, 4 * 7200)


@given(hours=some.floats(0, 2000), known=some.sampled_from([OVER, UNKNOWN]))
def test_whoever_is_waited_for_is_never_deleted_and_whoever_is_deleted_held_no_less_than_nothing(
    hours, known
):
    there = ([job("j", hours)], [rayjob("r", hours)], [cluster("c", hours, "r")])
    assert deleted(*there, known=WAITS) == {}
    assert all(
        value >= 0 for one in deleted(*there, known=known).values() for value in one.held.rounded().values()
    )
