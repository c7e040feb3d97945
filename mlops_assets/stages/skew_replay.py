"""Logged requests asked again offline, each as of the moment it was asked for, and compared cell by cell."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from mlops_assets.ml.skew.cells import (
    SKEWED,
    Logged,
    View,
    skewed_cells,
    totals,
)
from mlops_assets.ml.skew.known_rows import QUESTION_AT, SERVED
from resources.features.service import DescribedService
from resources.features.store import FeatureStoreError, FeatureStoreResource
from resources.features.vectors import STATUS_NAMES
from resources.lake.lake import Lake
from resources.lake.offline_rows import offline_rows
from resources.serving.log import (
    DEFINITION,
    REQUEST,
    REQUESTED_AT,
    SERVED_AT,
    VERSION,
)


@dataclass
class Replayed:
    """Logged requests beside their replay: the cells that differ, and how many were compared, by feature.

    `cells` has `REQUEST_FACTS` and the columns of `SKEWED`. `refused` counts, by the reason, requests that could not
    be replayed.
    """

    log: pl.DataFrame
    cells: pl.DataFrame
    compared: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def by_verdict(self) -> dict[str, int]:
        return totals(self.cells)


REQUEST_FACTS = {
    REQUEST: pl.String,
    REQUESTED_AT: pl.Datetime("us", "UTC"),
    SERVED_AT: pl.Datetime("us", "UTC"),
    VERSION: pl.String,
}
"""What is kept of the request beside each cell that differs."""


def replay(
    log: pl.DataFrame,
    definitions: Mapping[str, DescribedService],
    feature_store: FeatureStoreResource,
    lake: Lake,
) -> Replayed:
    """Ask offline what every logged request was answered with, and say of each cell that differs why.

    A request is refused if its service is defined no more, or asks for a column now that was not logged.
    """
    replayed, parts = Replayed(log, pl.DataFrame()), [pl.DataFrame(schema=REQUEST_FACTS | SKEWED)]
    groups = log.partition_by(DEFINITION, maintain_order=True) if log.width else []
    for rows in groups:
        logged = definitions[rows[DEFINITION][0]]
        try:
            now = feature_store.describe(logged.name)
            cells, features = replay_group(rows, logged, now, feature_store, lake)
        except FeatureStoreError as error:
            replayed.refused[str(error)] += rows.height
            continue
        parts.append(cells)
        replayed.compared.update(dict.fromkeys(features, rows.height))
    replayed.cells = pl.concat(parts)
    return replayed


def replay_group(
    rows: pl.DataFrame,
    logged: DescribedService,
    now: DescribedService,
    feature_store: FeatureStoreResource,
    lake: Lake,
) -> tuple[pl.DataFrame, list[str]]:
    """The cells that differ of requests served under one definition, and the features that were compared."""
    requests = rows.select(*logged.inputs, REQUESTED_AT)
    replayed = feature_store.historical(now.name, requests, REQUESTED_AT)
    views = views_to_compare(logged, now)
    tables = {view.name: view.table for view in feature_store.view_tables(now.name)}
    until = rows[REQUESTED_AT].max()
    assert isinstance(until, datetime)

    def offline(view: View, keys: pl.DataFrame) -> pl.DataFrame:
        return offline_rows(lake.folder(tables[view.name]), view.keys, keys, until)

    cells = skewed_cells(as_logged(rows, logged, views), replayed, views, offline)
    facts = rows.select(*REQUEST_FACTS).with_row_index("row")
    with_facts = cells.join(facts, on="row", how="left", maintain_order="left")
    return with_facts.select(*REQUEST_FACTS, *SKEWED), [
        feature for view in views for feature in view.features
    ]


def views_to_compare(logged: DescribedService, now: DescribedService) -> list[View]:
    """The views of today's service with those of their features that were served, marked where they have changed."""
    before = {view.name: view.definition for view in logged.views}
    return [
        View(
            name=view.name,
            features=[name for name in view.features if logged.features.get(name) == view.name],
            keys=view.keys,
            ttl=view.ttl,
            inputs=view.inputs,
            changed=before.get(view.name) != view.definition,
        )
        for view in now.views
    ]


def as_logged(rows: pl.DataFrame, logged: DescribedService, views: Sequence[View]) -> Logged:
    """Columns of the log by feature."""
    names = {name: f"{view.name}__{name}" for view in views for name in view.features}
    statuses = rows.select(pl.col(f"{column}__status").alias(name) for name, column in names.items())
    return Logged(
        values=rows.select(pl.col(column).alias(name) for name, column in names.items()),
        event_times=rows.select(pl.col(f"{column}__timestamp").alias(name) for name, column in names.items()),
        presence=statuses.select(pl.all() != STATUS_NAMES.index("NOT_FOUND")),
        held=statuses.select(pl.all() == STATUS_NAMES.index("OUTSIDE_MAX_AGE")),
        questions=rows.select(
            *logged.inputs, pl.col(REQUESTED_AT).alias(QUESTION_AT), pl.col(SERVED_AT).alias(SERVED)
        ),
    )
