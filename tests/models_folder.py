"""A models folder of a test's own: YAML in, what Dagster makes of it out."""

import importlib
import shutil
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg

from mlops_assets.components.model import ModelComponent
from mlops_assets.components.tree import component_tree
from mlops_assets.spec.model import ModelSpec
from mlops_assets.use_cases.flights.assets import flights_definitions
from resources.local import local_resources
from resources.settings import PROJECT_ROOT

SHIPPED = PROJECT_ROOT / "mlops_assets" / "use_cases" / "flights" / "models"
FLIGHT_DELAY = SHIPPED / "flight_delay" / "defs.yaml"


def models_folder(root: Path, **yaml: str) -> dg.ComponentTree:
    """The shipped models and, for each name given, a folder with that YAML; a package of its own each time."""
    package = root / f"models_{uuid4().hex}"
    shutil.copytree(SHIPPED, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in yaml.items():
        (package / name).mkdir()
        (package / name / "defs.yaml").write_text(text)
    sys.path.insert(0, str(root))
    try:
        module = importlib.import_module(package.name)
        return component_tree(module, root)
    finally:
        sys.path.remove(str(root))


def project(tree: dg.ComponentTree, resources: dict[str, Any] | None = None) -> dg.Definitions:
    """The whole project with these models: what definitions.py builds, over the resources given."""
    shared = dg.Definitions(resources=resources or local_resources(), executor=dg.in_process_executor)
    return dg.Definitions.merge(flights_definitions(), tree.build_defs(), shared)


def specs(tree: dg.ComponentTree) -> dict[str, ModelSpec]:
    """The specs of a folder's models by name."""
    return {found.spec.name: found.spec for found in tree.get_all_components(of_type=ModelComponent)}
