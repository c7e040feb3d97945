"""The specs of the repository's models, read from their YAML without Dagster, for processes that only serve or score."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from mlops_assets.spec.model import ModelSpec
from resources.yaml_files import read_all

MODELS = Path(__file__).parent.parent / "use_cases"
COMPONENT = "mlops_assets.components.model.ModelComponent"
WORDS = frozenset({("attributes", "automation")})
"""Where `on` is a word of the spec, which takes it back from YAML's true."""


@cache
def declared_specs(folder: Path = MODELS) -> dict[str, ModelSpec]:
    """The checked spec of every model that a defs.yaml below `folder` declares, by name; read once in a process."""
    return read_specs(folder)


def read_specs(folder: Path = MODELS) -> dict[str, ModelSpec]:
    """What `declared_specs` gives, from the files as they are now."""
    return {spec.name: spec for file in sorted(folder.rglob("defs.yaml")) for spec in _specs(file)}


def declared_code(folder: Path = MODELS) -> frozenset[str]:
    """Every import path that a model of the repository vouches for."""
    return frozenset().union(*(spec.code for spec in declared_specs(folder).values()))


def _specs(file: Path) -> Iterator[ModelSpec]:
    for document in read_all(file.read_text(encoding="utf-8"), file, WORDS):
        if document and document.get("type") == COMPONENT:
            yield ModelSpec.model_validate(document["attributes"])
