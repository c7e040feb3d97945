"""The feature registry as an asset: what a use case defines, applied to Feast's registry."""

import hashlib
from collections.abc import Iterator

import dagster as dg

from mlops_assets.kit.metadata import markdown_table
from mlops_assets.kit.stage import Run, stage
from mlops_assets.spec.names import features_group, registry_key


def registry(use_case: str) -> dg.AssetsDefinition:
    """The asset `<use case>/features/registry`: what the use case defines, applied to Feast's registry."""

    @stage(
        registry_key(use_case).split("/"),
        uses=["feature_store"],
        use_case=use_case,
        group_name=features_group(use_case),
        kinds={"feast"},
        description="Entities, feature views, on-demand views and services of the use case, applied.",
    )
    def registry_(run: Run) -> Iterator[dg.MaterializeResult]:
        feature_store = run.systems.feature_store
        defined = feature_store.definitions_hash()
        if run.reuse.unchanged(None, {"definitions": defined}, feature_store.holds) is None:
            run.reuse.note(None, defined)
        applied = feature_store.apply()
        versions = {name: feature_store.definition_version(name) for name in feature_store.services()}
        digest = hashlib.sha256(repr(sorted(versions.items())).encode()).hexdigest()
        rows = [{"service": name, "definitions": version[:16]} for name, version in versions.items()]
        yield run.result(digest, {"services": markdown_table(rows), "applied": str(applied)})

    return registry_
