"""The decorator that an asset is built with: what every asset repeats, said once.

A definition says what exists (key, what comes before, kinds, checks) and, in its body, which work is done. The decorator
gives it the systems, partitions and one run for a backfill, the record of what need not be made again, what it
cost, and turns an error of the work into a failed run with the error's own sentence.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mlops_assets.errors import WorkError
from mlops_assets.kit.checks import plain
from mlops_assets.kit.costs import costed
from mlops_assets.kit.partitions import time_windows
from mlops_assets.kit.pods import pod_tags, pool_of
from mlops_assets.kit.reuse import Reuse
from mlops_assets.kit.run_tags import run_lineage
from mlops_assets.kit.traces import step_traced
from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.model import ModelSpec
from resources.systems import Systems

FEATURES = "feature_store"
Events = Iterator[Any]
Dependency = str | dg.AssetDep


@dataclass(frozen=True)
class Run:
    """One run of an asset: the systems it works with, what it may reuse, and how it speaks to Dagster."""

    context: dg.AssetExecutionContext
    systems: Systems
    reuse: Reuse

    @property
    def partitions(self) -> Sequence[str]:
        """The partitions that the run is for."""
        return self.context.partition_keys

    @property
    def lineage(self) -> dict[str, str]:
        """The Dagster run and why it was launched."""
        return run_lineage(self.context)

    def tag(self, name: str) -> str | None:
        """A tag of the Dagster run."""
        return self.context.run.tags.get(name)

    def log(self, sentence: str) -> None:
        """A line in the run's log."""
        self.context.log.info(sentence)

    def show(self, partition: str | None, metadata: dict[str, Any]) -> None:
        """What the page shows of one partition, or of content that is not cut into any."""
        self.context.add_asset_metadata(metadata, partition_key=partition)

    def shown_before(self) -> dict[str, Any]:
        """What the page showed of the last making."""
        return self.reuse.shown_before(self.context)

    def result(self, version: str, metadata: dict[str, Any]) -> dg.MaterializeResult:
        """The materialization: its data version, and metadata with how much was made and skipped."""
        return dg.MaterializeResult(
            data_version=dg.DataVersion(version), metadata=metadata | self.reuse.counts()
        )


def stage(
    key: Sequence[str],
    *,
    uses: Sequence[str],
    after: Sequence[Dependency] = (),
    calendar: Calendar | None = None,
    use_case: str | None = None,
    **appearance: Any,
) -> Callable[[Callable[[Run], Events]], dg.AssetsDefinition]:
    """Make an asset of a function that takes a Run and yields results and checks.

    `uses` names the systems, `after` the assets before it (`table/name`), `calendar` cuts it into partitions. Of the feature
    stores, one that belongs to a `use_case` gets its own. The rest goes to `dagster.asset` as it is. What the run made is
    remembered once Dagster has the last event.
    """
    table = "/".join(key)

    def define(work: Callable[[Run], Events]) -> dg.AssetsDefinition:
        def compute(context: dg.AssetExecutionContext) -> Events:
            given = {name: getattr(context.resources, name) for name in {*uses, "lake"}}
            if use_case and FEATURES in given:
                given[FEATURES] = given[FEATURES].of(use_case)
            systems = Systems.of(given)
            run = Run(context, systems, Reuse.of(context, systems.lake, table))
            try:
                with step_traced(context, table):
                    yield from work(run)
            except WorkError as error:
                raise dg.Failure(str(error), metadata=plain(error.numbers)) from error
            run.reuse.remember()

        compute.__name__, compute.__doc__ = work.__name__, work.__doc__
        return dg.asset(
            key=list(key),
            deps=[dg.AssetKey(one.split("/")) if isinstance(one, str) else one for one in after],
            partitions_def=time_windows(calendar) if calendar else None,
            backfill_policy=dg.BackfillPolicy.single_run() if calendar else None,
            required_resource_keys={*uses, "lake"},
            **appearance,
        )(costed(compute))

    return define


def model_stage(
    spec: ModelSpec, name: str, *, uses: Sequence[str], after: Sequence[Dependency], **appearance: Any
) -> Callable[[Callable[[Run], Events]], dg.AssetsDefinition]:
    """A stage of a model: `<model>/<name>` in the model's group, owned by its owner; `after` names stages of the model."""
    before = [f"{spec.name}/{one}" if isinstance(one, str) and "/" not in one else one for one in after]
    return stage(
        [spec.name, name],
        uses=uses,
        after=before,
        use_case=spec.use_case,
        group_name=spec.name,
        owners=[spec.owner],
        op_tags=pod_tags(spec, name),
        pool=pool_of(spec, name),
        **appearance,
    )
