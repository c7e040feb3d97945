"""The flight models with a shorter patience, over the same assets: what takes months in the year takes weeks here."""

from typing import Any

import dagster as dg
import yaml

from mlops_assets.components.model import ModelComponent
from mlops_assets.components.use_case import definitions_of_tables, python_tables
from mlops_assets.spec.files import read_use_case
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.use_case import reading
from resources.settings import PROJECT_ROOT
from resources.use_case_folders import use_case_folder

MODELS = PROJECT_ROOT / "mlops_assets" / "use_cases" / "flights" / "models"
UNGUARDED = {"evidence": "point", "guards": {"slice_tolerance": None, "calibration_tolerance": None}}
NEVER_REJECTED = {
    "flight_delay": {"metric": "log_loss", "floors": {"auc": 0.3}, "tolerance": 5.0, **UNGUARDED},
    "arrival_minutes": {"metric": "mae", "floors": {"mae": 500}, "tolerance": 500, **UNGUARDED},
}


def short_spec(model: str = "flight_delay", **changes: Any) -> ModelSpec:
    """A shipped spec, but trained from three weeks on, judged on one, and never rejected."""
    shipped = yaml.safe_load((MODELS / model / "defs.yaml").read_text())["attributes"]
    short = {
        "trainer": shipped["trainer"] | {"rounds": 20, "early_stopping_rounds": 5},
        "window": {"hold_out_days": 7, "minimum_days": 21},
        "gate": NEVER_REJECTED[model],
        "retrain": {"cool_down_days": 7, "max_age_days": 7},
    }
    with reading(read_use_case(use_case_folder("flights"))):
        return ModelSpec.model_validate(shipped | short | changes)


def definitions(resources: dict[str, Any], *specs: ModelSpec) -> dg.Definitions:
    """The flights and these models, without what models/ holds."""
    models = [ModelComponent(spec).build_defs(None) for spec in specs]  # type: ignore[arg-type]
    shared = dg.Definitions(resources=resources, executor=dg.in_process_executor)
    flights = read_use_case(use_case_folder("flights"))
    return dg.Definitions.merge(definitions_of_tables(flights, list(python_tables(flights))), *models, shared)
