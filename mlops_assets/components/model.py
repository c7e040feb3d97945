"""A defs.yaml becomes a model: its spec checked, its assets, jobs and sensors built."""

import re
from typing import Any, Self

import dagster as dg
import pydantic

from mlops_assets.assets.bundle import model_assets
from mlops_assets.automation import model_jobs, model_sensors
from mlops_assets.components.tree import refuse_files
from mlops_assets.spec import Label, ModelSpec, Prediction
from mlops_assets.spec_columns import cluster_clash, input_clashes, label_among_inputs
from mlops_assets.spec_gate import Gate
from resources.feature_inputs import inputs_without_feast
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

    @pydantic.field_validator("prediction")
    @classmethod
    def _names_do_not_meet(cls, value: Prediction, info: pydantic.ValidationInfo) -> Prediction:
        inputs = inputs_without_feast(info.data.get("feature_service", ""))
        if inputs and (problems := list(input_clashes(inputs, value.key, value.time))):
            raise ValueError("; ".join(problems))
        return value

    @pydantic.field_validator("label")
    @classmethod
    def _label_is_not_given(cls, value: Label, info: pydantic.ValidationInfo) -> Label:
        inputs = inputs_without_feast(info.data.get("feature_service", ""))
        if inputs and (problems := list(label_among_inputs(inputs, value.column, value.known_at))):
            raise ValueError("; ".join(problems))
        return value

    @pydantic.field_validator("gate")
    @classmethod
    def _cluster_has_one_meaning(cls, value: Gate, info: pydantic.ValidationInfo) -> Gate:
        inputs = inputs_without_feast(info.data.get("feature_service", ""))
        written = "cluster" in value.model_fields_set
        if inputs and written and (problem := cluster_clash(value.cluster, inputs)):
            raise ValueError(problem)
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
