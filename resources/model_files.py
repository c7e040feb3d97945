"""An XGBoost model as an MLflow model folder: the model's own bytes, a signature, an example, pinned requirements."""

import json
import os
from importlib import metadata
from pathlib import Path
from typing import Any

import polars as pl

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""Before XGBoost's first import, so that its waiting threads sleep whoever imports it first."""

MODEL_FILE = "model.ubj"
REQUIREMENTS = ("xgboost-cpu", "xgboost", "numpy", "scipy", "pandas")


def requirements() -> list[str]:
    """What the model needs to run, at the versions installed; given to MLflow, which would infer for a minute."""
    found = {d.name: d.version for d in (_distribution(name) for name in REQUIREMENTS) if d is not None}
    return [f"{name}=={version}" for name, version in found.items()]


def example_frame(model: Any, example: pl.DataFrame) -> Any:
    """The example's rows as the model file itself takes them: its columns in order, categories as their codes."""
    encoding = json.loads(model.attr("encoding") or "{}")
    codes = {c: {v: float(i) for i, v in enumerate(vs)} for c, vs in encoding.get("categories", {}).items()}
    names = model.feature_names or example.columns
    columns = [
        pl.col(c).cast(pl.String).replace_strict(codes[c] or {"": 0.0}, default=None, return_dtype=pl.Float64)
        if c in codes
        else pl.col(c).cast(pl.Float64)
        for c in names
    ]
    return example.select(columns).to_pandas()


def signature(rows: Any) -> Any:
    """Every column an optional number, because XGBoost takes a missing value anywhere; one float a row comes out."""
    import numpy as np
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    inputs = Schema([ColSpec(DataType.double, name, required=False) for name in rows.columns])
    return ModelSignature(inputs, Schema([TensorSpec(np.dtype("float32"), (-1,))]))


def write_model(folder: Path, content: bytes, example: pl.DataFrame, logged: Any, run_id: str) -> None:
    """Write the folder that MLflow loads as `mlflow.xgboost` and as pyfunc; `model.ubj` holds exactly `content`."""
    import xgboost
    from mlflow.models.model import Model
    from mlflow.xgboost import save_model

    booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(content))
    rows = example_frame(booster, example)
    save_model(
        booster,
        str(folder),
        mlflow_model=Model(
            artifact_path=logged.artifact_location,
            run_id=run_id,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
        ),
        signature=signature(rows),
        input_example=rows,
        pip_requirements=requirements(),
    )
    (folder / MODEL_FILE).write_bytes(content)


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
