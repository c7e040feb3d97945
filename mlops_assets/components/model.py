"""A defs.yaml becomes a model: its spec checked, its assets, jobs and sensors built."""

import re
from typing import Any, Self

import dagster as dg
import pydantic

from mlops_assets.assets.bundle import model_assets
from mlops_assets.automation import model_jobs, model_sensors
from mlops_assets.components.tree import refuse_files
from mlops_assets.spec import ModelSpec
from resources.feature_store import service_names


class DeclaredModel(ModelSpec):
    """A spec that also agrees with the feature repository; Dagster reports a violation with file and line."""

    @pydantic.field_validator("owner")
    @classmethod
    def _is_somebody(cls, value: str) -> str:
        """Dagster's own rule, which it tells without a line."""
        if not re.fullmatch(r"team:.+|[^@\s]+@[^@\s]+\.[^@\s]+", value):
            raise ValueError(f"owner {value!r} is nobody: give an e-mail address, or team: and its name")
        return value

    @pydantic.field_validator("feature_service")
    @classmethod
    def _service_is_defined(cls, value: str) -> str:
        if value not in (known := service_names()):
            raise ValueError(
                f"feature service {value!r} is not defined in feature_repo/; there are: {', '.join(known)}"
            )
        return value


class ModelComponent(dg.Component):
    """A monitored, self-retraining model from a feature service and a label."""

    def __init__(self, spec: ModelSpec):
        self.spec = spec

    @classmethod
    def get_model_cls(cls) -> type[pydantic.BaseModel]:
        return DeclaredModel

    @classmethod
    def load(cls, attributes: Any, context: dg.ComponentLoadContext) -> Self:
        refuse_files(context.path)
        return cls(attributes)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return dg.Definitions(
            assets=model_assets(self.spec), jobs=model_jobs(self.spec), sensors=model_sensors(self.spec)
        )
