"""The executor that gives each step a pod, and reads why one was lost before its run is tried again.

A step that was lost fails its run; what is decided is written into the run's tags, as the launcher does for the pod of a
run, and its next try goes on from the steps that are done.
"""

import json
from collections.abc import Iterator
from typing import Any, cast

from dagster import DagsterEvent, Executor, ExecutorDefinition, InitExecutorContext, executor
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements
from dagster._core.executor.step_delegating import CheckStepHealthResult, StepHandler, StepHandlerContext
from dagster_k8s import k8s_job_executor
from dagster_k8s.executor import K8sStepHandler

from mlops_assets.pods.launcher import tags_after
from resources.pods.api import ApiAwayError, Workloads
from resources.pods.lost import loss_of, retry_of

RESOURCES = "mlops/step_resources"
"""Tag of a run: by step, what the next try of a step that ran out of memory is given."""

ON_STEP_FAILURE = "dagster/retry_on_asset_or_op_failure"


class PodSteps(StepHandler):
    """dagster-k8s' own handler of steps; what it says is lost is looked at before it is told on."""

    def __init__(self, plain: K8sStepHandler) -> None:
        super().__init__()
        self._plain = plain

    @property
    def name(self) -> str:
        return "PodSteps"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        """A Job for the step, with the memory that a lost try of it taught."""
        [key] = step_handler_context.execute_step_args.step_keys_to_execute or []
        given = json.loads(step_handler_context.dagster_run.tags.get(RESOURCES, "{}"))
        if resources := given.get(key):
            operation = step_handler_context.get_step_context(key).step.op_name
            self._plain._per_step_k8s_config[operation] = {"container_config": {"resources": resources}}
        yield from self._plain.launch_step(step_handler_context)

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Whether the step's pod works; an API that is away for a moment loses no step."""
        workloads, job = self._where(step_handler_context)
        try:
            there = workloads.job(job)
            if there is None or not (there.get("status") or {}).get("failed"):
                return self._plain.check_step_health(step_handler_context)
            return CheckStepHealthResult.unhealthy(self._decide(step_handler_context, workloads, there))
        except ApiAwayError:
            return CheckStepHealthResult.healthy()

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        yield from self._plain.terminate_step(step_handler_context)

    def _where(self, context: StepHandlerContext) -> tuple[Workloads, str]:
        namespace = self._plain._get_container_context(context).namespace or "default"
        client = self._plain._api_client.batch_api.api_client
        return Workloads(client, namespace), self._plain._get_k8s_step_job_name(context)

    def _decide(self, context: StepHandlerContext, workloads: Workloads, job: dict[str, Any]) -> str:
        [key] = context.execute_step_args.step_keys_to_execute or []
        run = context.instance.get_run_by_id(context.dagster_run.run_id) or context.dagster_run
        group = context.instance.get_run_group(run.run_id)
        tries = len(list(group[1])) if group else 1
        retry = retry_of(loss_of(workloads.newest_pod(job["metadata"]["name"]), job), tries)
        tags = tags_after(run, type(retry)(retry.again, retry.sentence), tries)
        tags[ON_STEP_FAILURE] = str(retry.again).lower()
        if retry.resources:
            tags[RESOURCES] = json.dumps({**json.loads(run.tags.get(RESOURCES, "{}")), key: retry.resources})
        context.instance.add_run_tags(run.run_id, tags)
        return retry.sentence


@executor(
    name="pods",
    config_schema=cast(Any, k8s_job_executor.config_schema),
    requirements=multiple_process_executor_requirements(),
)
def pod_executor(init_context: InitExecutorContext) -> Executor:
    """dagster-k8s' executor with `PodSteps` around its handler of steps."""
    create = k8s_job_executor.executor_creation_fn
    assert create is not None
    pods: Any = create(init_context)
    pods._step_handler = PodSteps(pods._step_handler)
    return pods


def in_pods(at_once: int = 4) -> ExecutorDefinition:
    """The executor for jobs in which a step has a pod to itself; so many at once of one run."""
    configured: ExecutorDefinition = pod_executor.configured(
        {"max_concurrent": at_once, "enable_owner_references": True}, name="pods"
    )
    return configured
