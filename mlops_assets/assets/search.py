"""The search: which parameters of the trainer do best on the newest rows that a challenger may see."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from mlops_assets.kit.metadata import markdown_table, picture
from mlops_assets.kit.stage import Run, model_stage
from mlops_assets.ml.judging.metrics import goodness
from mlops_assets.ml.tuning.trials import better, metric_of
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.search import space_of
from mlops_assets.stages.searching import SearchOutcome, run_search

SHOWN = 10


def search(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/search`: made on request, its winner is what the next training reads."""

    @model_stage(
        spec,
        "search",
        after=["training_set"],
        uses=["tracking", "compute"],
        kinds={"ray", "mlflow"},
        description=f"Hyperparameter search for {spec.name}: trials by {metric_of(spec)} on the newest rows before the "
        f"{spec.window.hold_out_days} held-out days. Made on request; one that was broken off goes on.",
    )
    def search_(run: Run) -> Iterator[dg.MaterializeResult]:
        done = run_search(spec, run.systems, run.lineage, run.log)
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(done.record["sha256"]), metadata=search_metadata(spec, done)
        )

    return search_


def search_metadata(spec: ModelSpec, outcome: SearchOutcome) -> dict[str, Any]:
    """What the asset page says of a search."""
    assert spec.search is not None
    record, metric = outcome.record, outcome.record["metric"]
    names = list(space_of(spec.search, spec.trainer))
    gain = float(goodness(metric, record["score"]) - goodness(metric, record["spec_score"]))
    best = better(metric, outcome.trials)[:SHOWN]
    table = [
        {"trial": t.number, metric: t.score, "rounds": t.rounds, **{n: t.parameters.get(n) for n in names}}
        for t in best
    ]
    return {
        "search": picture(outcome.plot, "search"),
        "winner": markdown_table(
            [
                {"parameter": name, "winner": value, "the spec's own": record["spec_parameters"].get(name)}
                for name, value in record["parameters"].items()
            ]
        ),
        "best trial": record["trial"],
        f"best {metric}": record["score"],
        f"{metric} of the spec's own parameters": record["spec_score"],
        "gain": gain,
        "trials": f"{record['finished']} finished, {record['stopped']} stopped early, {record['failed']} failed",
        "best trials": markdown_table(table),
        "parameters sha256": record["sha256"],
        "training set sha256": record["training_set"],
        "scored on": f"the newest {spec.trainer.validation_share:.0%} of the rows known by {record['known_by']}",
        "cpu seconds": round(sum(t.cpu_seconds for t in outcome.trials), 2),
        "mlflow run": record["mlflow_run"],
    }
