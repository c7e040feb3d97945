"""A model as an MLflow model folder: the model's own bytes, a signature, an example, pinned requirements.

XGBoost's are loaded by MLflow's own flavour. The others are pyfunc models whose loader is this project's reader of
model bytes, named by its module: nothing in the folder is executed, and no pickle is written.
"""

import json
import os
from importlib import metadata
from pathlib import Path
from typing import Any

import polars as pl

from resources.tracking.client import local_path
from resources.tracking.versions import TrackingError, Version

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""Before XGBoost's first import, so that its waiting threads sleep whoever imports it first."""

MODEL_FILE = "model.ubj"
LOADER = "mlops_assets.ml.training.fit"
REQUIREMENTS = {
    "model.ubj": ("xgboost-cpu", "xgboost", "numpy", "scipy", "pandas"),
    "model.lgb": ("lightgbm", "numpy", "polars"),
}
OTHERS = ("mlops-assets", "numpy", "polars")


def requirements(file: str) -> list[str]:
    """What the model needs to run, at the versions installed; given to MLflow, which would infer for a minute."""
    names = REQUIREMENTS.get(file, OTHERS)
    found = {d.name: d.version for d in (_distribution(name) for name in names) if d is not None}
    return [f"{name}=={version}" for name, version in found.items()]


def example_frame(model: Any, example: pl.DataFrame) -> Any:
    """The example's rows as the model file itself takes them: its columns in order, categories that are text as codes.

    Any other column holds numbers or codes already: which code a number has only the encoding's owner knows.
    """
    encoding = json.loads(model.attr("encoding") or "{}")
    codes = {c: {v: float(i) for i, v in enumerate(vs)} for c, vs in encoding.get("categories", {}).items()}
    features = encoding.get("features") or example.columns
    names = model.feature_names or features
    columns = [
        pl.col(c)
        .cast(pl.String)
        .replace_strict(codes[c] or {"": None}, default=None, return_dtype=pl.Float64)
        if c in codes and example.schema[c] in (pl.String, pl.Categorical, pl.Enum)
        else pl.col(c).cast(pl.Float64)
        for c in features
    ]
    return example.select(columns).rename(dict(zip(features, names, strict=True))).to_pandas()


def signature(rows: Any) -> Any:
    """Every column an optional number, because XGBoost takes a missing value anywhere; one float a row comes out."""
    import numpy as np
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    inputs = Schema([ColSpec(DataType.double, name, required=False) for name in rows.columns])
    return ModelSignature(inputs, Schema([TensorSpec(np.dtype("float32"), (-1,))]))


def write_model(
    folder: Path, file: str, content: bytes, example: pl.DataFrame, logged: Any, run_id: str
) -> None:
    """Write the folder that MLflow loads as pyfunc, XGBoost's also as `mlflow.xgboost`; `file` holds exactly `content`."""
    from mlflow.models.model import Model

    described = Model(
        artifact_path=logged.artifact_location,
        run_id=run_id,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
    )
    if file == MODEL_FILE:
        _write_booster(folder, content, example, described)
    else:
        _write_pyfunc(folder, file, described)
    (folder / file).write_bytes(content)


def _write_booster(folder: Path, content: bytes, example: pl.DataFrame, described: Any) -> None:
    import xgboost
    from mlflow.xgboost import save_model

    booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(content))
    rows = example_frame(booster, example)
    save_model(
        booster,
        str(folder),
        mlflow_model=described,
        signature=signature(rows),
        input_example=rows,
        pip_requirements=requirements(MODEL_FILE),
    )


def _write_pyfunc(folder: Path, file: str, described: Any) -> None:
    folder.mkdir(parents=True)
    (folder / "requirements.txt").write_text("\n".join(requirements(file)) + "\n")
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
