"""The model card: what is known of the champion, made anew whenever there is more to know."""

import hashlib
from collections.abc import Iterator
from functools import partial

import dagster as dg

from mlops_assets.kit.stage import Run, model_stage
from mlops_assets.ml.reports.card import as_html, as_markdown
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.card import FILES, gather, is_attached, sections


def card(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `<model>/card`: one page on the champion, here and among its run's artifacts in MLflow."""

    @model_stage(
        spec,
        "card",
        after=["deployment", "performance", "drift"],
        uses=["tracking", "audit", "pages"],
        kinds={"markdown", "mlflow"},
        description="The champion's model card, from records alone: each line says where it came from, and what is "
        "not known is said to be unknown.",
    )
    def card_(run: Run) -> Iterator[dg.MaterializeResult]:
        tracking = run.systems.tracking
        champion = tracking.champion(spec.name)
        if champion is None:
            yield dg.MaterializeResult(metadata={"card": f"{spec.name} has no champion yet"})
            return
        title = f"Model card: {spec.name}, version {champion.number}"
        known = sections(gather(spec, champion, run.systems))
        contents = ((text := as_markdown(title, known)).encode(), as_html(title, known).encode())
        digest = hashlib.sha256(contents[0]).hexdigest()
        attached = partial(is_attached, tracking, champion)
        if run.reuse.unchanged(None, {"what is known": digest}, attached) is None:
            tracking.attach(champion, dict(zip(FILES, contents, strict=True)))
            run.reuse.note(None, digest)
        page = dg.MetadataValue.url(run.systems.pages.version(spec.name, champion.number))
        shown = {"card": dg.MetadataValue.md(text), "model version": champion.number}
        yield run.result(digest, shown | {"version in MLflow": page})

    return card_
