"""Skew: what the endpoint served, replayed through the offline store as of the moment it was asked for."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from mlops_assets.kit.checks import check_result, check_spec
from mlops_assets.kit.metadata import frame_table, markdown_table, small_picture
from mlops_assets.kit.stage import Run, model_stage
from mlops_assets.ml.reports.sparklines import bars
from mlops_assets.ml.skew.cells import LATE, ROUNDING, VERDICTS, by_feature
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.fingerprints import of_skew, skew_code
from mlops_assets.stages.skew_replay import Replayed, replay
from resources.serving.log import DEFINITION, REQUEST, REQUESTED_AT, VERSION

CLAIM = "served_features_equal_replayed"
EQUAL = "Online and offline gave the same value; rounding passes."
SHOWN = 12
EVERY_MORNING = dg.AutomationCondition.cron_tick_passed("0 6 * * *").since_last_handled()


def skew(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/skew`."""

    @model_stage(
        spec,
        "skew",
        after=["deployment"],
        uses=["feature_store", "serving_log"],
        kinds={"feast", "polars"},
        code_version=skew_code()[:12],
        check_specs=[check_spec([spec.name, "skew"], CLAIM, False, EQUAL)],
        automation_condition=EVERY_MORNING & ~dg.AutomationCondition.in_progress(),
        description=f"The newest {spec.skew.requests:,} logged requests, replayed through the offline store as of the "
        "moment that each asked for, and compared cell by cell. Every cell that differs has a verdict.",
    )
    def skew_(run: Run) -> Iterator[Any]:
        lake, feature_store = run.systems.lake, run.systems.feature_store
        serving_log = run.systems.serving_log
        log = serving_log.read(spec.name, spec.skew.requests)
        content = run.reuse.unchanged(None, of_skew(spec, lake, feature_store, log))
        if content is None:
            outcome = replay(log, serving_log.definitions(spec.name), feature_store, lake)
            sha256 = lake.write(run.reuse.table, outcome.cells).sha256
            counts = [list(one.items()) for one in (outcome.compared, outcome.refused)]
            run.reuse.note(None, sha256, {"counts": counts})
        else:
            before = [Counter(dict(pairs)) for pairs in content["counts"]]
            outcome = Replayed(log, lake.read(run.reuse.table), *before)
            sha256 = lake.manifest(run.reuse.table).sha256
        yield run.result(sha256, skew_metadata(spec.name, outcome))
        yield skew_check(outcome)

    return skew_


def skew_check(outcome: Replayed) -> dg.AssetCheckResult:
    """The claim, with the cells that break it by verdict; late data alone warns, because no store could have known."""
    broken = {verdict: count for verdict, count in outcome.by_verdict.items() if verdict != ROUNDING}
    numbers = {"requests": outcome.log.height, "cells": outcome.compared.total(), "skewed": broken}
    refused = {"requests that could not be replayed": dict(outcome.refused)} if outcome.refused else {}
    return check_result(CLAIM, not broken and not refused, bool(set(broken) - {LATE}), numbers | refused)


def skew_metadata(model: str, outcome: Replayed) -> dict[str, Any]:
    """What the asset page shows: a sentence, the verdicts with a picture, then tables by feature and by version."""
    if outcome.log.is_empty():
        return {"skew": f"no request is logged yet: ask POST /v1/models/{model}/predict"}
    cells, verdicts = outcome.compared.total(), outcome.by_verdict
    equal = cells - sum(verdicts.values())
    table = by_feature(outcome.cells, outcome.compared)
    shown = [name for name in table.columns if name not in VERDICTS or name in verdicts]
    return {
        "skew": sentence(outcome, cells),
        "verdicts": markdown_table(
            [{"verdict": name, "cells": n} for name, n in (verdicts | {"equal": equal}).items()]
        ),
        "cells by verdict": small_picture(bars(verdicts or {"equal": equal}), "cells by verdict"),
        "by feature": frame_table(table.select(shown), rows=60),
        "requests": frame_table(requests_by_version(outcome.log)),
        "cells that differ": frame_table(examples(outcome.cells)),
        **(
            {"requests that could not be replayed": dg.MetadataValue.json(dict(outcome.refused))}
            if outcome.refused
            else {}
        ),
    }


def sentence(outcome: Replayed, cells: int) -> str:
    """The result in words."""
    compared = f"{cells:,} cells of {outcome.log.height - outcome.refused.total():,} requests"
    parts = [f"{count:,} {verdict}" for verdict, count in outcome.by_verdict.items()]
    return f"{compared}: " + (f"{', '.join(parts)}, the rest equal" if parts else "all equal")


def requests_by_version(log: pl.DataFrame) -> pl.DataFrame:
    """Who served the requests, and as of when."""
    return log.group_by(
        pl.col(VERSION).alias("version"), pl.col(DEFINITION).alias("definitions"), maintain_order=True
    ).agg(
        requests=pl.len(),
        earliest=pl.col(REQUESTED_AT).min().dt.to_string("%Y-%m-%d %H:%M"),
        latest=pl.col(REQUESTED_AT).max().dt.to_string("%Y-%m-%d %H:%M"),
    )


def examples(cells: pl.DataFrame) -> pl.DataFrame:
    """A few cells that differ, of every verdict."""
    some = cells.filter(pl.int_range(pl.len()).over("verdict") < SHOWN).sort("verdict", maintain_order=True)
    return some.select(
        "verdict",
        "feature",
        "served",
        "replayed",
        pl.col("served_event", "offline_event", REQUESTED_AT).dt.to_string("%Y-%m-%d %H:%M:%S"),
        pl.col(REQUEST).alias("request"),
    )
