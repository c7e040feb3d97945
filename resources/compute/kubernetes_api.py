"""RayJobs through the Kubernetes API that KUBECONFIG names, else the one whose pod this process runs in.

Answers that say "not now" (no connection, too many requests, a server error) become AwayError; a refusal says what is
missing.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from resources.compute.kuberay import AwayError, KubeRayError
from resources.compute.rayjob import GROUP, PLURAL, VERSION, Manifest

TIMEOUT_S = (5, 30)
"""To connect, and to get an answer."""

T = TypeVar("T")


def this_very_one(uid: str) -> Any:
    """Options that delete the object with this id alone, not a later one of its name, and what was made for it."""
    from kubernetes.client import V1DeleteOptions, V1Preconditions

    return V1DeleteOptions(preconditions=V1Preconditions(uid=uid), propagation_policy="Background")


class RayJobs:
    """The RayJobs of a namespace."""

    def __init__(self, namespace: str) -> None:
        client = api_client()
        self.namespace = namespace
        self._own = (GROUP, VERSION, namespace, PLURAL)
        self._jobs, self._core = _api("CustomObjectsApi", client), _api("CoreV1Api", client)

    def get(self, name: str) -> Manifest | None:
        """The RayJob as it is, None where there is none."""
        return self._answer(
            lambda: self._jobs.get_namespaced_custom_object(*self._own, name, _request_timeout=TIMEOUT_S),
            {404: lambda: None},
        )

    def create(self, manifest: Manifest) -> bool:
        """Make a RayJob; False where one of that name is there already."""

        def create_it() -> bool:
            self._jobs.create_namespaced_custom_object(*self._own, manifest, _request_timeout=TIMEOUT_S)
            return True

        return self._answer(create_it, {409: lambda: False, 404: self._no_kuberay})

    def delete(self, name: str, uid: str) -> None:
        """Delete this very RayJob, and what the operator made for it; one that is gone already is no error."""
        self._answer(
            lambda: self._jobs.delete_namespaced_custom_object(
                *self._own, name, body=this_very_one(uid), _request_timeout=TIMEOUT_S
            ),
            {404: lambda: None, 409: lambda: None},
        )

    def pending(self, cluster: str) -> list[str]:
        """Of each pod of a Ray cluster that does not run: its name and what it waits for."""
        pods = self._answer(
            lambda: (
                self._core.list_namespaced_pod(
                    self.namespace,
                    label_selector=f"ray.io/cluster={cluster}",
                    field_selector="status.phase=Pending",
                    _request_timeout=TIMEOUT_S,
                ).items
            ),
            {},
        )
        return [f"pod {pod.metadata.name}: {'; '.join(_waits_for(pod.status)) or 'pending'}" for pod in pods]

    def _answer(self, ask: Callable[[], T], known: dict[int, Callable[[], T]]) -> T:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return ask()
        except ApiException as error:
            status = error.status or 0
            if status in known:
                return known[status]()
            if status == 429 or status >= 500:
                raise AwayError(f"{status} {error.reason}") from error
            raise KubeRayError(
                f"the Kubernetes API refused a request in namespace {self.namespace} ({status}): {_words(error.body)}"
                f"{': bind the role of deployments/kubernetes/fits/rights.yaml' if status == 403 else ''}"
            ) from error
        except HTTPError as error:
            raise AwayError(str(error)) from error

    def _no_kuberay(self) -> bool:
        raise KubeRayError(
            f"the cluster knows no {GROUP}/{VERSION} RayJob or no namespace {self.namespace}: install the KubeRay operator, "
            f"create the namespace, or set MLOPS_RAY_ADDRESS to another one"
        )


def _api(name: str, client: Any) -> Any:
    import kubernetes.client

    return getattr(kubernetes.client, name)(client)


def api_client() -> Any:
    """A client of its own settings, so that others in this process keep theirs."""
    try:
        from kubernetes import client, config
    except ModuleNotFoundError as error:
        raise KubeRayError(
            "MLOPS_RAY_ADDRESS names KubeRay, which needs the Kubernetes client: pip install 'mlops-assets[cluster]'"
        ) from error
    configuration = client.Configuration()
    try:
        config.load_kube_config(client_configuration=configuration)
    except config.ConfigException:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException as error:
            raise KubeRayError(
                f"no Kubernetes cluster is known here: run inside one, or set KUBECONFIG ({error})"
            ) from error
    return client.ApiClient(configuration)


def _words(body: str | None) -> str:
    """What the API says of a refusal, which is JSON unless a proxy answered."""
    try:
        return json.loads(body or "")["message"]
    except (ValueError, KeyError, TypeError):
        return str(body)


def _waits_for(status: Any) -> list[str]:
    unmet = [
        c.message or c.reason
        for c in status.conditions or []
        if c.status == "False" and c.type == "PodScheduled"
    ]
    waiting = [c.state.waiting for c in status.container_statuses or [] if c.state and c.state.waiting]
    return [text for text in [*unmet, *(f"{w.reason} {w.message or ''}".strip() for w in waiting)] if text]
