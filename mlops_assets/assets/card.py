"""The model card: what is known of the champion, made anew whenever there is more to know."""

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg

from mlops_assets.kit.costs import costed
from mlops_assets.kit.reuse import Reuse
from mlops_assets.ml.reports.card import as_html, as_markdown
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.card import FILES, gather, is_attached, sections
from resources.audit.log import Audit
from resources.lake.lake import Lake
from resources.pages import Pages
from resources.tracking.tracking import Tracking


def card(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/card`: one page on the champion, here and among its run's artifacts in MLflow."""

    @dg.asset(
        key=[spec.name, "card"],
        deps=[dg.AssetKey([spec.name, upstream]) for upstream in ("deployment", "performance", "drift")],
        group_name=spec.name,
        kinds={"markdown", "mlflow"},
        owners=[spec.owner],
        description="The champion's model card, from records alone: each line says where it came from, and what is "
        "not known is said to be unknown.",
    )
    @costed
    def card_(
        context: dg.AssetExecutionContext, lake: Lake, tracking: Tracking, audit: Audit, pages: Pages
    ) -> Iterator[dg.MaterializeResult]:
        champion = tracking.champion(spec.name)
        if champion is None:
            yield dg.MaterializeResult(metadata={"card": f"{spec.name} has no champion yet"})
            return
        title = f"Model card: {spec.name}, version {champion.number}"
        known = sections(gather(spec, champion, lake, audit, pages))
        text = as_markdown(title, known)
        told: dict[str, Any] = {"card": dg.MetadataValue.md(text), "model version": champion.number}
        contents = (text.encode(), as_html(title, known).encode())
        digest, reuse = hashlib.sha256(contents[0]).hexdigest(), Reuse.of(context, lake, f"{spec.name}/card")
        if reuse.unchanged(None, {"what is known": digest}, partial(is_attached, tracking, champion)) is None:
            tracking.attach(champion, dict(zip(FILES, contents, strict=True)))
            reuse.made(None, digest)
        page = dg.MetadataValue.url(pages.version(spec.name, champion.number))
        yield dg.MaterializeResult(
            data_version=dg.DataVersion(digest), metadata=told | {"version in MLflow": page} | reuse.counts()
        )
        reuse.remember()

    return card_
