"""The specs of the repository's models, read from their YAML without Dagster, for processes that only serve or score."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

from mlops_assets.spec import ModelSpec

MODELS = Path(__file__).parent / "models"
COMPONENT = "mlops_assets.components.model.ModelComponent"


@cache
def declared_specs(folder: Path = MODELS) -> dict[str, ModelSpec]:
    """The checked spec of every model that a defs.yaml below `folder` declares, by name."""
    return {spec.name: spec for file in sorted(folder.glob("*/defs.yaml")) for spec in _specs(file)}


def declared_code(folder: Path = MODELS) -> frozenset[str]:
    """Every import path that a model of the repository vouches for."""
    return frozenset().union(*(spec.code for spec in declared_specs(folder).values()))


def _specs(file: Path) -> Iterator[ModelSpec]:
    for document in yaml.safe_load_all(file.read_text()):
        if document and document.get("type") == COMPONENT:
            yield ModelSpec.model_validate(document["attributes"])
