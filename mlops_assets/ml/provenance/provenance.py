"""The code, packages and machine that a model is made with, told without a network; git is asked where it is there."""

import hashlib
import os
import platform as this_platform
import subprocess
from collections.abc import Collection, Sequence
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl

from mlops_assets.spec.trainers import spec_kinds

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("mlops_assets", "resources")
MATTER = (
    *("polars", "polars-runtime-32", "numpy", "pyarrow", "pandas", "scipy", "scikit-learn", "tzdata"),
    *("feast", "ray", "optuna", "dagster", "mlflow", "pydantic"),
)
"""Installed packages that a feature or a join goes through, whatever the trainer."""

CPU_FLAGS = {"sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "amx_tile", "asimd", "sve"}
"""Instruction sets that numerical libraries choose their kernels by."""


def code(repository: str, modules: Sequence[str] = ()) -> dict[str, Any]:
    """Revision, whether the tree is clean (None: no git), and a hash of each source file that can take part.

    Files are those of the platform, of the feature repository (a package) and of further modules by dotted name; an
    installed package without git has them too.
    """
    files = _files(repository, tuple(sorted(set(modules))))
    name, clean = revision()
    return {
        "revision": name,
        "clean": clean,
        "digest": _hash(repr(sorted(files.items()))),
        "files": files,
    }


def packages(trainers: Collection[str] = ()) -> dict[str, str]:
    """Versions of the packages that matter, by name; those that are not installed are left out.

    They are those of the kinds of trainers that come with the platform, and of the `trainers` named.
    """
    kinds = [kind for name, kind in spec_kinds().items() if kind.is_ours or name in trainers]
    libraries = [name for kind in kinds for names in kind.libraries.values() for name in names]
    versions = {}
    for name in (*MATTER, *libraries):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def lock() -> str | None:
    """SHA-256 of requirements.lock, where the project is used from its own folder."""
    path = ROOT / "requirements.lock"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


@cache
def platform() -> dict[str, Any]:
    """Operating system, processor and Python, and the number of threads that frames are computed with."""
    return {
        "system": this_platform.system(),
        "machine": this_platform.machine(),
        "libc": " ".join(this_platform.libc_ver()),
        "python": f"{this_platform.python_implementation()} {this_platform.python_version()}",
        "cpu": sorted(_cpu_flags() & CPU_FLAGS) or [this_platform.processor()],
        "cores": os.cpu_count(),
        "polars_threads": pl.thread_pool_size(),
    }


@cache
def _files(repository: str, modules: tuple[str, ...]) -> dict[str, str]:
    hashes: dict[str, str] = {}
    for package in dict.fromkeys([*PACKAGES, repository]):
        folder = _origin(package).parent
        for path in sorted(folder.rglob("*.py")):
            hashes[f"{package.replace('.', '/')}/{path.relative_to(folder).as_posix()}"] = _of_file(path)
    for module in modules:
        path = _origin(module)
        name = module.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")
        hashes[name] = _of_file(path)
    return dict(sorted(hashes.items()))


def _origin(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"module {module!r} has no source file, so its code cannot be recorded")
    return Path(spec.origin)


@cache
def revision(*pathspecs: str) -> tuple[str, bool | None]:
    """What `MLOPS_REVISION` or git says, and whether the tree is clean; both unknown in an installed package.

    `pathspecs` narrow what counts as a change, as git writes them.
    """
    given = os.environ.get("MLOPS_REVISION", "")
    head, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", ".", *pathspecs)
    if head is None or changed is None:
        return given or "unknown", None
    return given or head, not changed


def _git(*arguments: str) -> str | None:
    if not (ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(ROOT), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_flags() -> set[str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    named = (line for line in lines if line.split(":")[0].strip() in ("flags", "Features"))
    return set(next(named, "").partition(":")[2].split())


def _of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
