"""The link from a partition of `<model>/drift` to the page that Evidently drew of it."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.drift_page import has_page
from resources.pages import Pages

LINK = "evidently page"


def report_link(spec: ModelSpec, pages: Pages, name: str, notes: Mapping[str, Any]) -> dict[str, Any]:
    """Where the endpoint shows the page; nothing where none was drawn, or where nobody knows the endpoint's address."""
    address = pages.report(spec.name, name) if has_page(notes) else ""
    return {LINK: dg.MetadataValue.url(address)} if address else {}
