"""Batch predictions: rows of a table or of files, scored by the version that answers now, as the endpoint would."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg

from mlops_assets.kit.catalogue import report_schema
from mlops_assets.kit.checks import check_result, check_spec
from mlops_assets.kit.stage import Run, model_stage
from mlops_assets.kit.tables import materialized, upstream
from mlops_assets.ml.reports.table_columns import batch_columns
from mlops_assets.ml.training.kinds import trainer_kind
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.names import online_key
from mlops_assets.stages.batch_rows import batch_rows
from mlops_assets.stages.batch_scoring import Batched, batch_of, predictor, score_batch, unanswered
from mlops_assets.stages.fingerprints import batch_code, of_batch
from resources.use_case_folders import use_case_folder

CLAIM = "every_row_has_a_score"


def batch_predictions(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/batch_predictions`, by partition of the model's calendar or whole."""
    batch = batch_of(spec)
    cut = spec.calendar if batch.partitioned else None

    @model_stage(
        spec,
        "batch_predictions",
        after=[
            *([upstream(batch.table, cut)] if batch.table else []),
            upstream(online_key(spec.use_case), cut),
            "deployment",
        ],
        uses=["feature_store", "tracking", "endpoint", "clock", "compute"],
        calendar=cut,
        kinds={trainer_kind(spec.trainer.kind).icon, "polars"},
        code_version=batch_code(spec)[:12],
        output_required=False,
        check_specs=[check_spec([spec.name, "batch_predictions"], CLAIM, False)],
        description=_in_words(spec),
    )
    def batch_predictions_(run: Run) -> Iterator[Any]:
        if why := unanswered(spec, run.systems):
            run.log(f"nothing is scored: {why}")
            yield check_result(CLAIM, True, False, {"nothing is scored": why})
            return
        written, lake = {}, run.systems.lake
        for name in run.partitions if cut else [None]:
            one = predictor(spec, run.systems, name)
            rows = batch_rows(batch, lake, use_case_folder(spec.use_case).path, name)
            decides = of_batch(spec, run.systems, one.record, one.as_of, rows.made_of)
            if run.reuse.unchanged(name, decides) is None:
                scored = score_batch(one, rows, run.systems, name, partial(_tell, run, name))
                run.reuse.note(name, scored.manifest.sha256)
                run.show(name, _shown(scored))
            written[name] = lake.manifest(run.reuse.table, name)
        yield from materialized(run, written, len(written), partial(report_schema, batch_columns(spec)))
        refused = {name or "all": (m.notes or {})["rows refused"] for name, m in written.items()}
        yield check_result(CLAIM, not any(refused.values()), False, {"rows without a score": refused})

    return batch_predictions_


def _tell(run: Run, partition: str | None, done: int, rows: int) -> None:
    run.log(f"{partition or 'all rows'}: {done:,} of {rows:,} scored")


def _shown(batch: Batched) -> dict[str, Any]:
    return {
        "seconds": round(batch.seconds, 3),
        "rows a second": round(batch.manifest.rows / batch.seconds) if batch.seconds else 0,
        "features without a value": f"{batch.missing:.1%}",
        "scored in": batch.where,
    }


def _in_words(spec: ModelSpec) -> str:
    batch = batch_of(spec)
    of_what = f"of `{batch.table}`" if batch.table else "of files"
    moment = "of each partition as of its end" if batch.partitioned else "as of now"
    return (
        f"Rows {of_what}, scored {moment} by the version that answers at the endpoint, with the numbers it would answer. A row "
        "that it would refuse has no score and says why. `predictions` is another table: that scores what came to pass by the "
        "champion of its time, to judge it."
    )
