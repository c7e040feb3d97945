"""What every benchmark leaves: its table on the screen, and one JSON with machine, versions, revision, figures and ratios."""

import json
import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mlops_assets.ml.provenance.provenance import revision

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    *("dagster", "feast", "mlflow", "ray", "polars", "duckdb", "evidently", "numpy"),
    *("xgboost-cpu", "xgboost", "torch"),
)


def machine() -> dict[str, Any]:
    """Processor, cores, memory in GiB and system, as far as the system tells."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Versions of what is measured, as far as it is installed: XGBoost has two names, PyTorch is an extra."""
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def measured_at() -> dict[str, Any]:
    """The git revision that is measured, and whether the code is just that; results of earlier benchmarks are no change."""
    name, clean = revision(":(exclude)benchmarks/results", ":(exclude)*.md")
    return {"revision": name, "clean": clean}


def save(name: str, figures: dict[str, Any], ratios: dict[str, float]) -> Path:
    """Write `benchmarks/results/<name>.json`."""
    RESULTS.mkdir(exist_ok=True)
    content = {
        "machine": machine(),
        "versions": versions(),
        "git": measured_at(),
        "figures": figures,
        "ratios": ratios,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    return path
