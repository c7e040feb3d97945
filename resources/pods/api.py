"""What of Jobs and their pods is asked of the Kubernetes API: objects as its JSON has them."""

from typing import Any

from resources.compute.kubernetes_api import TIMEOUT_S, this_very_one
from resources.compute.rayjob import GROUP, VERSION

RUN_ID, COMPONENT = "dagster/run-id", "app.kubernetes.io/component"
RUN_WORKER, STEP_WORKER = "run_worker", "step_worker"
"""Labels that dagster-k8s puts on Jobs and pods, and two of their values."""


class ApiAwayError(Exception):
    """The Kubernetes API does not answer, for now."""


class Workloads:
    """Jobs and pods of a namespace, through a client that is there."""

    def __init__(self, client: Any, namespace: str) -> None:
        import kubernetes.client

        self.namespace, self._plain = namespace, client.sanitize_for_serialization
        self._jobs, self._pods = kubernetes.client.BatchV1Api(client), kubernetes.client.CoreV1Api(client)
        self._rays = kubernetes.client.CustomObjectsApi(client)

    def job(self, name: str) -> dict[str, Any] | None:
        """A Job; None where there is none. Raises ApiAwayError."""
        return self._answer(self._jobs.read_namespaced_job, name, self.namespace)

    def jobs(self, selector: str) -> list[dict[str, Any]]:
        """The Jobs with these labels."""
        answer = self._answer(self._jobs.list_namespaced_job, self.namespace, label_selector=selector)
        return (answer or {}).get("items") or []

    def pods(self, selector: str) -> list[dict[str, Any]]:
        """The pods with these labels, the newest first."""
        answer = self._answer(self._pods.list_namespaced_pod, self.namespace, label_selector=selector)
        there = (answer or {}).get("items") or []
        return sorted(there, key=lambda pod: pod["metadata"]["creationTimestamp"], reverse=True)

    def newest_pod(self, job: str) -> dict[str, Any] | None:
        """The pod that a Job made last; None where nothing is left of any."""
        return next(iter(self.pods(f"job-name={job}")), None)

    def delete_job(self, name: str, uid: str) -> bool:
        """Delete this very Job and its pods; False where it is gone already."""
        delete = self._jobs.delete_namespaced_job
        return self._answer(delete, name, self.namespace, body=this_very_one(uid)) is not None

    def rays(self, plural: str) -> list[dict[str, Any]]:
        """KubeRay's objects of a kind (`rayjobs`, `rayclusters`); none where the cluster has no KubeRay."""
        answer = self._answer(
            self._rays.list_namespaced_custom_object, GROUP, VERSION, self.namespace, plural
        )
        return (answer or {}).get("items") or []

    def delete_ray(self, plural: str, name: str, uid: str) -> bool:
        """Delete this very object of KubeRay and what was made for it; False where it is gone already."""
        delete, kind = self._rays.delete_namespaced_custom_object, (GROUP, VERSION, self.namespace, plural)
        return self._answer(delete, *kind, name, body=this_very_one(uid)) is not None

    def _answer(self, ask: Any, *given: Any, **named: Any) -> Any:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return self._plain(ask(*given, _request_timeout=TIMEOUT_S, **named))
        except ApiException as error:
            if error.status in (404, 409):
                return None
            if error.status == 429 or (error.status or 0) >= 500:
                raise ApiAwayError(f"{error.status} {error.reason}") from error
            raise
        except HTTPError as error:
            raise ApiAwayError(str(error)) from error
