"""A model as an MLflow model folder: the model's own bytes, a signature, an example, pinned requirements.

Those of a kind for which MLflow has a flavor are loaded by that. The others are pyfunc models whose loader is this project's reader of
model bytes, named by its module: nothing in the folder is executed, and no pickle is written.
"""

from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from resources.tracking.client import local_path
from resources.tracking.versions import TrackingError, Version

LOADER = "mlops_assets.ml.training.fit"
STORED_AS = "mlops_assets.ml.training.kinds:stored_as"
"""Import path of the function that says which kind of trainer has its models in a file of a name."""


class Flavor(Protocol):
    """A flavor of MLflow's own: its name, how its library opens the bytes, and the example's rows as it takes them."""

    @property
    def name(self) -> str: ...

    @property
    def open(self) -> Callable[[bytes], Any]: ...

    @property
    def example(self) -> Callable[[Any, pl.DataFrame], Any]: ...


class StoredKind(Protocol):
    """What MLflow is told of a kind of model: the packages that read it, and its flavor if it has one."""

    @property
    def packages(self) -> Sequence[str]: ...

    @property
    def flavor(self) -> Flavor | None: ...


def kind_in(file: str) -> StoredKind:
    """The kind of model that a file holds, by its name; TrackingError where no trainer that is installed has such files."""
    module, _, name = STORED_AS.partition(":")
    try:
        return getattr(import_module(module), name)(file)
    except ValueError as error:
        raise TrackingError(str(error)) from error


def requirements(kind: StoredKind) -> list[str]:
    """What the model needs to run, at the versions installed; given to MLflow, which would infer for a minute."""
    versions = {d.name: d.version for d in map(_distribution, kind.packages) if d is not None}
    return [f"{name}=={version}" for name, version in versions.items()]


def signature(rows: Any) -> Any:
    """Every column an optional number, because a value may be missing anywhere; one float a row comes out."""
    import numpy as np
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    inputs = Schema([ColSpec(DataType.double, name, required=False) for name in rows.columns])
    return ModelSignature(inputs, Schema([TensorSpec(np.dtype("float32"), (-1,))]))


def write_model(
    folder: Path, file: str, content: bytes, example: pl.DataFrame, logged: Any, run_id: str
) -> None:
    """Write the folder that MLflow loads as pyfunc, and by its own flavor if it has one; `file` holds exactly `content`."""
    from mlflow.models.model import Model

    described = Model(
        artifact_path=logged.artifact_location,
        run_id=run_id,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
    )
    kind = kind_in(file)
    if kind.flavor:
        _write_flavored(folder, content, example, described, kind, kind.flavor)
    else:
        _write_pyfunc(folder, file, described, kind)
    (folder / file).write_bytes(content)


def _write_flavored(
    folder: Path, content: bytes, example: pl.DataFrame, described: Any, kind: StoredKind, flavor: Flavor
) -> None:
    model = flavor.open(content)
    rows = flavor.example(model, example)
    import_module(f"mlflow.{flavor.name}").save_model(
        model,
        str(folder),
        mlflow_model=described,
        signature=signature(rows),
        input_example=rows,
        pip_requirements=requirements(kind),
    )


def _write_pyfunc(folder: Path, file: str, described: Any, kind: StoredKind) -> None:
    folder.mkdir(parents=True)
    (folder / "requirements.txt").write_text("\n".join(requirements(kind)) + "\n")
    described.add_flavor("python_function", loader_module=LOADER, data=file, env={})
    described.save(str(folder / "MLmodel"))


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def local_file(version: Version, recorded: Path, artifacts: str, depth: int) -> bytes:
    """A version's file where it was recorded, or where it lies now if the artifacts folder was moved.

    `depth` is how many parts of its path lie below the folder of the version's name.
    """
    moved = Path(local_path(artifacts) or recorded.anchor, version.name, *recorded.parts[-depth:])
    for path in (recorded, moved):
        if path.is_file():
            return path.read_bytes()
    raise TrackingError(
        f"{version.name} version {version.number}: no {recorded.name} at {recorded} nor at {moved}: "
        f"restore the artifacts folder, or train again"
    )
