"""Dagster's launcher of pods, which reads why a pod was lost before its run is tried again.

What was decided is written into the tags of the run that was lost, which its next try inherits: Dagster's own retry of
runs then does as it says. An API that is away for a moment loses no run.
"""

import json
import logging
from typing import Any

from dagster import DagsterRun
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster_k8s.job import USER_DEFINED_K8S_CONFIG_KEY, get_job_name_from_run_id
from dagster_k8s.launcher import K8sRunLauncher

from resources.pods.api import COMPONENT, RUN_ID, STEP_WORKER, ApiAwayError, Workloads
from resources.pods.lost import Retry, loss_of, retry_of

LOG = logging.getLogger(__name__)
LOST, LOST_RUN, MAX_RETRIES = "mlops/lost", "mlops/lost_run", "dagster/max_retries"
"""Tags of a run whose pod was lost: why, which run it was, as its next try inherits them, and how often Dagster may try."""


class PodRunLauncher(K8sRunLauncher):
    """Each run is a Job of Kubernetes; one that is lost is tried again by what it was lost by."""

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run's pod works; where it was lost, how it goes on is decided before the run is failed."""
        workloads, name = self._workloads(run), self._job_name(run)
        try:
            if workloads.job(name) is None:
                return self._deleted(run, name)
            health = super().check_run_worker_health(run)
            if health.status is WorkerStatus.UNKNOWN:
                return CheckRunHealthResult(WorkerStatus.RUNNING, health.msg)
            if health.status is not WorkerStatus.FAILED:
                return health
            return CheckRunHealthResult(WorkerStatus.FAILED, self._decide(run, workloads, name).sentence)
        except ApiAwayError as error:
            return CheckRunHealthResult(
                WorkerStatus.RUNNING,
                f"The Kubernetes API does not answer ({error}): nothing is known of the pod.",
            )

    def get_run_worker_debug_info(
        self, run: DagsterRun, include_container_logs: bool | None = True
    ) -> str | None:
        """What Dagster tells of a pod before it fails its run; of one that could not start, it is decided here."""
        info = super().get_run_worker_debug_info(run, include_container_logs)
        fresh = self._instance.get_run_by_id(run.run_id)
        if fresh is None or fresh.tags.get(LOST_RUN) == run.run_id or fresh.is_finished:
            return info
        try:
            decided = self._decide(run, self._workloads(run), self._job_name(run))
        except ApiAwayError as error:
            LOG.warning("run %s: why it does not start cannot be read: %s", run.run_id, error)
            return info
        return f"{decided.sentence}\n{info or ''}"

    def _deleted(self, run: DagsterRun, name: str) -> CheckRunHealthResult:
        """Somebody deleted the Job itself, which is no accident: the run is not tried again."""
        sentence = f"job {name} was deleted by hand: launch the run again if it is still wanted"
        self._instance.add_run_tags(run.run_id, tags_after(run, Retry(False, sentence)))
        return CheckRunHealthResult(WorkerStatus.FAILED, sentence)

    def _decide(self, run: DagsterRun, workloads: Workloads, name: str) -> Retry:
        job, pod = workloads.job(name), workloads.newest_pod(name)
        group = self._instance.get_run_group(run.run_id)
        tries = len(list(group[1])) if group else 1
        retry = retry_of(loss_of(pod, job), tries)
        self._instance.add_run_tags(run.run_id, tags_after(run, retry, tries))
        LOG.warning("run %s: %s", run.run_id, retry.sentence)
        for step in workloads.jobs(f"{RUN_ID}={run.run_id},{COMPONENT}={STEP_WORKER}"):
            workloads.delete_job(step["metadata"]["name"], step["metadata"]["uid"])
        return retry

    def _job_name(self, run: DagsterRun) -> str:
        return get_job_name_from_run_id(
            run.run_id, resume_attempt_number=self._get_resume_attempt_number(run)
        )

    def _workloads(self, run: DagsterRun) -> Workloads:
        namespace = self.get_container_context_for_run(run).namespace or self.job_namespace
        return Workloads(self._api_client.batch_api.api_client, namespace)


def tags_after(run: DagsterRun, retry: Retry, tries: int = 1) -> dict[str, str]:
    """The tags that a lost run is given, by which Dagster tries it once more or does not."""
    decided = {LOST: retry.sentence, LOST_RUN: run.run_id, MAX_RETRIES: str(tries if retry.again else 0)}
    if retry.resources is None:
        return decided
    config = json.loads(run.tags.get(USER_DEFINED_K8S_CONFIG_KEY, "{}"))
    container: dict[str, Any] = {**config.get("container_config", {}), "resources": retry.resources}
    return decided | {USER_DEFINED_K8S_CONFIG_KEY: json.dumps({**config, "container_config": container})}
