"""A code location for runs in pods: work that needs memory, that waits, that writes, and that fails."""

import os
import time
from pathlib import Path

import dagster as dg

from mlops_assets.kit.pods import CONFIG_TAG, pod_config
from mlops_assets.pods.steps import in_pods
from mlops_assets.spec.pods import Pod
from resources.settings import settings
from resources.storage.durable import write_bytes

HERE = Path(os.environ.get("POD_RUNS", "/nonexistent"))
SIZE = 350 * 2**20
"""Bytes that the hungry work holds at once: too many for its pod, and few enough for one with twice the memory."""


def tags(memory: str, up_to: str, **more: object) -> dict[str, object]:
    """What a spec's pod becomes on a run."""
    import json

    pod = Pod(cpu=0.1, memory=memory, memory_up_to=up_to, **more)  # type: ignore[arg-type]
    return {CONFIG_TAG: json.loads(json.dumps(pod_config(pod, "tried", "run", settings())))}


@dg.op
def prepare(context: dg.OpExecutionContext) -> None:
    """Done once: a later try goes on after it."""
    with (HERE / "prepared").open("a") as file:
        file.write(f"{context.run_id}\n")


@dg.op(ins={"start": dg.In(dg.Nothing)})
def hold(context: dg.OpExecutionContext) -> None:
    """Hold much memory for a while, then write a result at once."""
    held = bytearray(os.urandom(4096)) * (SIZE // 4096)
    time.sleep(1.5)
    write_bytes(HERE / "result", f"{context.run_id} {len(held)}".encode())


@dg.op
def write_slowly(context: dg.OpExecutionContext) -> None:
    """Begin, wait until told to go on, and put a large file in its place as a whole."""
    (HERE / f"begun-{context.run_id}").touch()
    while not (HERE / "go-on").exists():
        time.sleep(0.05)
    write_bytes(HERE / "slow", b"whole " * 1000)


@dg.op
def leave_by_itself() -> None:
    """As a library that ends the process."""
    os._exit(3)


@dg.op
def raise_an_error() -> None:
    raise ValueError("the data is not what it should be")


@dg.job(executor_def=dg.in_process_executor, tags=tags("300Mi", "1Gi"))
def hungry() -> None:
    hold(start=prepare())


@dg.job(executor_def=dg.in_process_executor, tags=tags("300Mi", "300Mi"))
def starved() -> None:
    hold(start=prepare())


@dg.op
def send_a_fit() -> None:
    """A fit of rows in the bucket that becomes a RayJob in the namespace of runs, by the rights of the pod's own account."""
    from mlops_assets.ml.training.fit import fit
    from resources.cluster import resources_of
    from tests.acceptance.test_fit_on_another_host import weeks_in
    from tests.acceptance.test_fit_on_kuberay import FEATURES, INNER, spec_of

    where = settings()
    reach = resources_of(where)["compute"].model_copy(update={"address": f"kuberay://{where.run_namespace}"})
    done = fit(weeks_in(where.lake), spec_of(INNER), FEATURES, reach=reach, identity="a-fit")
    write_bytes(HERE / "model", done.model)


@dg.job(executor_def=dg.in_process_executor)
def fits() -> None:
    send_a_fit()


@dg.job(executor_def=dg.in_process_executor)
def slow() -> None:
    write_slowly()


@dg.job(executor_def=dg.in_process_executor)
def leaves() -> None:
    leave_by_itself()


@dg.job(executor_def=dg.in_process_executor)
def fails() -> None:
    raise_an_error()


@dg.job(
    executor_def=dg.in_process_executor,
    tags={CONFIG_TAG: {"container_config": {"security_context": {"privileged": True}}}},
)
def privileged() -> None:
    prepare()


@dg.job(executor_def=in_pods())
def in_steps() -> None:
    prepare()
    hold.alias("hold_in_a_pod").tag(tags("300Mi", "1Gi"))(start=prepare.alias("prepare_in_a_pod")())


defs = dg.Definitions(jobs=[hungry, starved, slow, leaves, fails, fits, privileged, in_steps])
