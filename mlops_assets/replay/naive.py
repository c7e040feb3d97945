"""What a naive rule would have come to: fitted whenever the model was trained, on the same rows, and asked about the same ones."""

from collections.abc import Sequence

import polars as pl

from mlops_assets.ml.dataset import labelled
from mlops_assets.ml.monitoring.backtest import Backtest
from mlops_assets.ml.monitoring.naive import naive_rule
from mlops_assets.spec.columns import STORED_SCORE
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.errors import StageError
from mlops_assets.stages.training_set import training_data
from resources.lake.lake import Lake


def by_naive_rule(spec: ModelSpec, lake: Lake, ours: Backtest, features: Sequence[str]) -> Backtest:
    """Scores of every row that the model scored, by a rule of these features fitted at the same moments on all labels known then."""
    table = f"{spec.name}/training_set"
    there, scored, trained = lake.partitions(table), [], list(ours.retrained)
    questions = ours.scored.drop_nulls(STORED_SCORE).select(spec.prediction.key)
    for name, until in zip(trained, [*trained[1:], there[-1]], strict=True):
        span = [one for one in there if name < one <= until]
        if not span:
            continue
        data = training_data(spec, lake, name)
        rows = labelled(lake.read(table, list(data.hashes)), spec, data.now)
        rule = naive_rule(rows, features, spec.task)
        later = lake.read(table, span).join(
            questions, on=spec.prediction.key, how="semi", maintain_order="left"
        )
        if later.height:
            rows_kept = later.select(*dict.fromkeys([*spec.prediction.key, spec.prediction.time]))
            scored.append(rows_kept.with_columns(pl.Series(STORED_SCORE, rule(later))))
    return Backtest(pl.concat(scored) if scored else pl.DataFrame(), trained, [])


def refuse_unknown(spec: ModelSpec, lake: Lake, features: Sequence[str]) -> None:
    """Raise StageError for a feature that the model is not given, or that is no number."""
    if not features:
        return
    rows = lake.read(f"{spec.name}/training_set", lake.partitions(f"{spec.name}/training_set")[-1:])
    given = [
        name for name in rows.columns if name not in spec.prediction.key and rows.schema[name].is_numeric()
    ]
    for name in features:
        if name not in given:
            raise StageError(
                f"replay.naive has {name!r}, and {spec.name} is given {', '.join(given)}: name one of these"
            )
