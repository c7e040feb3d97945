"""The feature registry as an asset: what feature_repo/ defines, applied to Feast's registry."""

import hashlib
from collections.abc import Iterator

import dagster as dg

from mlops_assets.kit.costs import costed
from mlops_assets.kit.metadata import markdown_table
from mlops_assets.kit.reuse import Reuse
from resources.features.store import FeatureStoreResource, service_names
from resources.lake.lake import Lake


def registry() -> dg.AssetsDefinition:
    """The asset `features/registry`: what feature_repo/ defines, applied to Feast's registry."""

    @dg.asset(
        key=["features", "registry"],
        group_name="features",
        kinds={"feast"},
        description="Entities, feature views, on-demand views and services of feature_repo/, applied.",
    )
    @costed
    def registry_(
        context: dg.AssetExecutionContext, lake: Lake, feature_store: FeatureStoreResource
    ) -> Iterator[dg.MaterializeResult]:
        reuse, defined = Reuse.of(context, lake, "features/registry"), feature_store.definitions_hash()
        if reuse.unchanged(None, {"definitions": defined}, feature_store.holds) is None:
            reuse.made(None, defined)
        applied = feature_store.apply()
        versions = {
            name: feature_store.definition_version(name) for name in service_names(feature_store.repository)
        }
        digest = hashlib.sha256(repr(sorted(versions.items())).encode()).hexdigest()
        rows = [{"service": name, "definitions": version[:16]} for name, version in versions.items()]
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(digest),
            metadata={"services": markdown_table(rows), "applied": str(applied)} | reuse.counts(),
        )
        reuse.remember()

    return registry_
