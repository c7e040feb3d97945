"""Every name that the platform's own code writes: what a user's column could ever meet."""

import ast
from functools import lru_cache

from resources.settings import PROJECT_ROOT

PACKAGES = ("mlops_assets", "resources", "feature_repo/offline_store", "feature_repo/online_store")
NOT_READ = ("mlops_assets/use_cases/flights", "mlops_assets/use_cases/flights/models")


@lru_cache
def platform_names() -> list[str]:
    """Quoted words, names of keyword arguments, and words between the holes of f-strings, in the product's files."""
    found: set[str] = set()
    for package in PACKAGES:
        for file in sorted((PROJECT_ROOT / package).rglob("*.py")):
            if not file.relative_to(PROJECT_ROOT).as_posix().startswith(NOT_READ):
                for node in ast.walk(ast.parse(file.read_text())):
                    if isinstance(node, ast.Constant) and isinstance(node.value, str):
                        found.add(node.value)
                    elif isinstance(node, ast.keyword) and node.arg:
                        found.add(node.arg)
    return sorted(name for name in found if 0 < len(name) <= 30 and name.replace("_", "").isalnum())
