"""A defs.yaml becomes a model: its spec checked, its assets, jobs and sensors built."""

import re
from collections.abc import Iterable
from typing import Any, Self

import dagster as dg
import pydantic

from mlops_assets.assets.bundle import model_assets
from mlops_assets.automation.jobs import model_jobs
from mlops_assets.automation.sensors import model_sensors
from mlops_assets.components.tree import refuse_files
from mlops_assets.spec.columns import cluster_clash, input_clashes, label_among_inputs, request_clashes
from mlops_assets.spec.gate import Gate
from mlops_assets.spec.label import Label
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.prediction import Prediction
from mlops_assets.spec.trainers import Trainer, default_trainer
from mlops_assets.spec.use_case import current_use_case
from resources.features.feature_repository import FeatureStoreError
from resources.features.inputs import ServiceInputs, service_inputs, service_names
from resources.features.repository import Repository
from resources.features.stores import repository_of
from resources.features.types import is_known, refused_feature, refused_input
from resources.use_case_folders import default_use_case


class DeclaredModel(ModelSpec):
    """A spec that also agrees with the feature repository; Dagster reports a violation with file and line.

    Names and types are read by running the repository's modules against a stand-in for Feast.
    """

    trainer: Trainer = pydantic.Field(default_factory=default_trainer, validate_default=True)

    @pydantic.field_validator("owner")
    @classmethod
    def _is_somebody(cls, value: str) -> str:
        """Dagster's own rule, which it tells without a line."""
        if not re.fullmatch(r"team:.+|[^@\s]+@[^@\s]+\.[^@\s]+", value):
            raise ValueError(f"owner {value!r} is nobody: give an e-mail address, or team: and its name")
        return value

    @pydantic.field_validator("feature_service")
    @classmethod
    def _service_is_defined(cls, value: str, info: pydantic.ValidationInfo) -> str:
        try:
            repository = _repository()
            known = service_names(repository)
        except FeatureStoreError as error:
            raise ValueError(str(error)) from error
        if value not in known and info.data.get("features") is not None:
            return value  # it is made of this spec, of which something else is not as it must be
        _refuse([_unknown(value)])
        given = [one for one in service_inputs(value, repository).given if is_known(one.kind)]
        _refuse(refused_feature(one.owner, one.name, one.kind, value) for one in given)
        return value

    @pydantic.model_validator(mode="after")
    def _service_was_made(self) -> Self:
        _refuse([_unknown(self.feature_service)])
        return self

    @pydantic.field_validator("prediction")
    @classmethod
    def _names_do_not_meet(cls, value: Prediction, info: pydantic.ValidationInfo) -> Prediction:
        inputs = _inputs(info)
        problems = (
            [*input_clashes(inputs, value.key, value.time), *request_clashes(inputs, value.columns)]
            if inputs
            else []
        )
        if problems:
            raise ValueError("; ".join(problems))
        return value

    @pydantic.field_validator("label")
    @classmethod
    def _label_is_not_given(cls, value: Label, info: pydantic.ValidationInfo) -> Label:
        inputs = _inputs(info)
        if inputs and (problems := list(label_among_inputs(inputs, value.named_columns))):
            raise ValueError("; ".join(problems))
        return value

    @pydantic.field_validator("gate")
    @classmethod
    def _cluster_has_one_meaning(cls, value: Gate, info: pydantic.ValidationInfo) -> Gate:
        inputs = _inputs(info)
        written = "cluster" in value.model_fields_set
        if inputs and written and (problem := cluster_clash(value.cluster, inputs)):
            raise ValueError(problem)
        return value

    @pydantic.field_validator("prediction")
    @classmethod
    def _a_request_can_be_made(cls, value: Prediction, info: pydantic.ValidationInfo) -> Prediction:
        inputs = _inputs(info)
        if inputs and value.request_model is None:
            unfit = [one for one in inputs.request_fields if is_known(one.kind)]
            _refuse(refused_input(one.name, one.kind, info.data["feature_service"]) for one in unfit)
        return value

    @pydantic.field_validator("trainer")
    @classmethod
    def _text_is_a_category(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        inputs = _inputs(info)
        for one in inputs.given if inputs else ():
            if one.kind == "String" and one.name not in value.categories:
                raise ValueError(
                    f"feature {one.name!r} of view {one.owner!r} is String, which is no number: list it in "
                    "trainer.categories or leave it out of the feature service"
                )
        return value


def _repository() -> Repository:
    """The feature definitions of the use case that is being read; outside of one, of the project's own."""
    current = current_use_case()
    return repository_of(current.name if current else default_use_case())


def _inputs(info: pydantic.ValidationInfo) -> ServiceInputs | None:
    """What the spec's feature service reads and gives; None where there is none, for which another reason is told."""
    service = info.data.get("feature_service")
    return service_inputs(service, _repository()) if service and not _unknown(service) else None


def _unknown(service: str) -> str | None:
    """That a feature service is not defined, with those that are."""
    repository = _repository()
    known = service_names(repository)
    if service in known:
        return None
    return f"feature service {service!r} is not defined in {repository}; there are: {', '.join(known)}"


def _refuse(problems: Iterable[str | None]) -> None:
    """Raise with the first problem there is."""
    if problem := next(filter(None, problems), None):
        raise ValueError(problem)


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
