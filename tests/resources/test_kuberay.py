"""A RayJob from sending to its outcome, in a namespace that is played through step by step."""

import pytest

from resources.compute.kuberay import AwayError, Errand, KubeRayError, Patience
from resources.compute.rayjob import JOB, PENDING

AT_ONCE = Patience(look_s=0, outcome_s=0, deletion_s=0, away_s=0)
MANIFEST = {"metadata": {"name": "mlops-fit", "annotations": {JOB: "content", PENDING: "0"}}}


class Namespace:
    """RayJobs in memory: each look at one takes the next of the statuses that are planned."""

    namespace = "ml"

    def __init__(self, *statuses, there=None, pods=()):
        self.statuses, self.there, self.pods = list(statuses), there, list(pods)
        self.made, self.deleted, self.outcome = 0, [], False

    def get(self, name):
        if self.there is not None and self.statuses:
            status = self.statuses.pop(0)
            if isinstance(status, BaseException):
                raise status
            if status == "deleted":
                self.there = None
                return None
            self.there["status"] = status
            self.outcome = self.outcome or status.get("jobStatus") == "SUCCEEDED"
        return self.there

    def create(self, manifest):
        if self.there is not None:
            return False
        self.made += 1
        self.there = {"metadata": manifest["metadata"] | {"uid": f"made {self.made}"}}
        return True

    def delete(self, name, uid):
        assert self.there is not None and self.there["metadata"]["uid"] == uid
        self.deleted.append(uid)
        self.there = None

    def pending(self, cluster):
        return self.pods


def earlier(job="content", **metadata):
    return {"metadata": {"name": "mlops-fit", "annotations": {JOB: job}, "uid": "earlier", **metadata}}


def told(namespace, patience=AT_ONCE, manifest=MANIFEST):
    said = []
    Errand(namespace, manifest, lambda: namespace.outcome, said.append, patience).run()
    return said


INITIALIZING = {"jobDeploymentStatus": "Initializing", "rayClusterName": "mlops-fit-x"}
RUNNING = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
SUCCEEDED = {"jobDeploymentStatus": "Running", "jobStatus": "SUCCEEDED"}
STOPPED = {"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}
FAILED = {"jobDeploymentStatus": "Failed", "reason": "AppFailed", "message": "exit code 1"}


def test_a_fit_is_sent_once_its_changes_are_told_and_it_is_taken_away_when_its_outcome_is_there():
    namespace = Namespace(RUNNING, RUNNING, SUCCEEDED)
    assert told(namespace) == [
        "RayJob mlops-fit in namespace ml is sent",
        "RayJob mlops-fit in namespace ml: Running, job RUNNING",
        "RayJob mlops-fit in namespace ml: Running, job SUCCEEDED",
    ]
    assert (namespace.made, namespace.deleted, namespace.there) == (1, ["made 1"], None)


def test_an_outcome_that_is_there_is_taken_without_asking_kubernetes():
    namespace = Namespace()
    namespace.outcome = True
    assert told(namespace) == []
    assert namespace.made == 0


def test_a_finished_fit_stands_though_its_rayjob_cannot_be_deleted():
    namespace = Namespace(AwayError("503"), there=earlier())
    namespace.outcome = True
    assert told(namespace) == [
        "RayJob mlops-fit in namespace ml is done and was not deleted (503): kubectl delete rayjob mlops-fit -n ml"
    ]


def test_a_run_that_comes_after_a_killed_one_waits_for_the_rayjob_of_that():
    namespace = Namespace(RUNNING, RUNNING, SUCCEEDED, there=earlier())
    assert told(namespace)[0] == "RayJob mlops-fit in namespace ml is there already: waiting for it"
    assert (namespace.made, namespace.deleted) == (0, ["earlier"])


def test_two_runs_that_send_at_once_wait_for_the_same_rayjob():
    class Raced(Namespace):
        def get(self, name):
            return super().get(name) if self.looked else None

        looked = False

        def create(self, manifest):
            self.looked, self.there = True, earlier()
            return super().create(manifest)

    namespace = Raced(SUCCEEDED)
    assert told(namespace)[0] == "RayJob mlops-fit in namespace ml was sent by another run: waiting for it"
    assert namespace.made == 0


@pytest.mark.parametrize(
    ("status", "there", "why"),
    [
        (FAILED, earlier(), "failed (AppFailed: exit code 1)"),
        (STOPPED, earlier(), "is complete and its outcome is not there"),
        (RUNNING, earlier("of other rows"), "is another job of this name"),
        (RUNNING, earlier(deletionTimestamp="2020-01-01T00:00:00Z"), "is being deleted"),
    ],
)
def test_what_is_no_use_any_more_is_deleted_and_sent_again(status, there, why):
    namespace = Namespace(status, there=there)
    namespace.statuses += [SUCCEEDED]
    said = told(namespace)
    assert said[0] == f"RayJob mlops-fit in namespace ml {why}: it is deleted and sent again"
    assert (namespace.made, namespace.deleted) == (1, ["earlier", "made 1"])


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        (
            [RUNNING, FAILED],
            r"RayJob mlops-fit in namespace ml failed \(AppFailed: exit code 1\)\. The next run deletes",
        ),
        (
            [RUNNING, STOPPED],
            r"is complete \(Complete, job STOPPED\) and left no outcome: was its Ray job stopped, or",
        ),
        (
            [RUNNING, "deleted"],
            "was deleted before its fit was done: run again, and it goes on from its last checkpoint",
        ),
        (
            [{}, {}],
            "has not started after 0 s: no operator has looked at it: is the KubeRay operator running",
        ),
        (
            [INITIALIZING] * 2,
            r"after 0 s: Initializing; pod w-1: 0/3 nodes .* Insufficient nvidia.com/gpu\. It stays, and",
        ),
        (
            [RUNNING, AwayError("503")],
            r"has not answered for 0 s \(503\): RayJob mlops-fit in namespace ml goes on without",
        ),
    ],
)
def test_what_ends_without_an_outcome_is_named_with_the_way_out(statuses, said):
    namespace = Namespace(*statuses, pods=["pod w-1: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu"])
    with pytest.raises(KubeRayError, match=said):
        told(namespace)
    assert namespace.deleted == []


def test_a_rayjob_that_a_queue_holds_is_told_apart_from_one_whose_pods_find_no_node():
    suspended = {"jobDeploymentStatus": "Suspended"}
    with pytest.raises(KubeRayError, match="Suspended; no pod is pending: a queue or a quota holds it"):
        told(Namespace(suspended, suspended))


def test_an_api_that_is_away_for_a_while_ends_nothing():
    namespace = Namespace(RUNNING, *[AwayError("503")] * 3, SUCCEEDED)
    told(namespace, Patience(look_s=0, away_s=60))
    assert namespace.there is None


def test_a_rayjob_that_does_not_go_away_is_told_with_what_holds_it():
    class Held(Namespace):
        def delete(self, name, uid):
            pass

    with pytest.raises(
        KubeRayError, match=r"still there, held by its finalizers \['ray.io/rayjob-finalizer'\]"
    ):
        told(Held(FAILED, there=earlier(finalizers=["ray.io/rayjob-finalizer"])))


def test_a_terminated_run_leaves_its_rayjob_to_finish_and_says_how_to_end_it():
    namespace, said = Namespace(RUNNING, KeyboardInterrupt()), []
    with pytest.raises(KeyboardInterrupt):
        Errand(namespace, MANIFEST, lambda: False, said.append, AT_ONCE).run()
    assert said[-1] == (
        "RayJob mlops-fit in namespace ml is left to finish, and the next run takes its outcome; to end it: "
        "kubectl delete rayjob mlops-fit -n ml"
    )
    assert namespace.there is not None
