"""The flights in a folder of a test's own, with further models: YAML in, what Dagster makes of it out."""

import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg

from mlops_assets.components.use_case import LoadedUseCase, load_use_case
from mlops_assets.spec.model import ModelSpec
from resources.local import local_resources
from resources.use_case_folders import UseCaseFolder, use_case_folder

SHIPPED = use_case_folder("flights")
FLIGHT_DELAY = SHIPPED.path / "models" / "flight_delay" / "defs.yaml"


def models_folder(root: Path, **yaml: str) -> LoadedUseCase:
    """The flights with, for each name given, a further model of that YAML, loaded from a folder of its own."""
    path = root / uuid4().hex / SHIPPED.name
    shutil.copytree(SHIPPED.path, path, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for name, text in yaml.items():
        (path / "models" / name).mkdir()
        (path / "models" / name / "defs.yaml").write_text(text)
    return load_use_case(UseCaseFolder(path, SHIPPED.package))


def project(use_case: LoadedUseCase, resources: dict[str, Any] | None = None) -> dg.Definitions:
    """The whole project with this use case: what definitions.py builds, over the resources given."""
    shared = dg.Definitions(resources=resources or local_resources(), executor=dg.in_process_executor)
    return dg.Definitions.merge(use_case.defs, shared)


def specs(use_case: LoadedUseCase) -> dict[str, ModelSpec]:
    """The specs of its models by name."""
    return use_case.specs
