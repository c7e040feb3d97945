"""Every job, named for what it does: ingesting a use case's partition, and the two of each model."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from mlops_assets.kit.pods import executor_of, pod_tags
from mlops_assets.kit.run_tags import REASON_TAG, TRIGGER_TAG
from mlops_assets.ml.monitoring.policy import CALIBRATION
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import features_group, ingest_group, ingest_job_name

REPORT_PARTS = ("training_set", "predictions", "performance", "drift", "card")
RETRAIN_PARTS = ("model", "evaluation", "deployment", "card")


def ingest_job(use_case: str, apart: Sequence[dg.AssetKey] = ()) -> Any:
    """`ingest_<use case>`: raw tables and features of a partition, up to the online store; those `apart` have a job of theirs."""
    groups = dg.AssetSelection.groups(ingest_group(use_case), features_group(use_case))
    return dg.define_asset_job(
        ingest_job_name(use_case),
        selection=groups - dg.AssetSelection.assets(*apart) if apart else groups,
        executor_def=dg.in_process_executor,
        description="Ingest one partition and bring features and online store up to its end.",
    )


def model_jobs(spec: ModelSpec) -> list[Any]:
    """`<model>_partition` scores a partition and reports on it; `<model>_retrain` trains, judges and deploys; `<model>_recalibrate` of a classifier does so with the champion's own bytes.

    Batch predictions that are cut by the calendar are a part of the partition.
    """
    in_batches = ["batch_predictions"] if spec.batch and spec.batch.partitioned else []
    partition = [[spec.name, part] for part in (*REPORT_PARTS, *in_batches)]
    retrain = [[spec.name, part] for part in RETRAIN_PARTS]
    return [
        dg.define_asset_job(
            f"{spec.name}_partition",
            selection=dg.AssetSelection.assets(*partition),
            executor_def=executor_of([spec], [*REPORT_PARTS, *in_batches]),
            tags=pod_tags(spec),
            description="Join, score and report on one partition.",
        ),
        dg.define_asset_job(
            f"{spec.name}_retrain",
            selection=dg.AssetSelection.assets(*retrain),
            executor_def=executor_of([spec], RETRAIN_PARTS),
            tags=pod_tags(spec),
            description="Train a challenger, judge it against the champion and deploy it if it passes.",
        ),
        *([_recalibrate_job(spec)] if spec.task == "classification" else []),
    ]


def recalibrate_job_name(model: str) -> str:
    """What the job is called that recalibrates a model's champion."""
    return f"{model}_recalibrate"


def _recalibrate_job(spec: ModelSpec) -> Any:
    """The same assets as a retraining; the run's tag says that the champion's scores are moved and nothing is trained."""
    return dg.define_asset_job(
        recalibrate_job_name(spec.name),
        selection=dg.AssetSelection.assets(*([spec.name, part] for part in RETRAIN_PARTS)),
        executor_def=executor_of([spec], RETRAIN_PARTS),
        tags={**pod_tags(spec), TRIGGER_TAG: CALIBRATION, REASON_TAG: "recalibrated by hand"},
        description="Move the champion's scores to what labels since its training show, judge that against the champion and "
        "deploy it if it passes. Its trees stay.",
    )
