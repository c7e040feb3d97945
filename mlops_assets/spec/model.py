"""What a data scientist writes down about a model, checked before anything runs.

Plain pydantic: nothing here knows Dagster, Feast or MLflow, so a spec can be read, tested and replayed anywhere.
"""

from collections.abc import Callable
from math import ceil
from typing import Annotated, Any, Literal, Self, cast

import pydantic
from pydantic import Field

from mlops_assets.spec.base import Days, ImportPath, Part
from mlops_assets.spec.batch import Batch, batch_fits
from mlops_assets.spec.calendar import Calendar
from mlops_assets.spec.columns import columns_meet
from mlops_assets.spec.earlier import as_now
from mlops_assets.spec.gate import Gate, gate_fits
from mlops_assets.spec.given import Features, service_name
from mlops_assets.spec.label import Label, label_fits, labels_come_in_time, longest_partition
from mlops_assets.spec.names import use_case_of
from mlops_assets.spec.pods import Pods, pods_fit
from mlops_assets.spec.prediction import Prediction
from mlops_assets.spec.promotion import Deployment, Promotion
from mlops_assets.spec.retrain import Retrain
from mlops_assets.spec.rollout import RolloutPlan, rollout_fits
from mlops_assets.spec.search import Search, search_fits
from mlops_assets.spec.trainers import Trainer, default_trainer, trainer_code
from mlops_assets.spec.use_case import current_use_case

EVERY, EFFECT = 52, 0.05
"""What `drift` says of alarms where a spec does not: these values are in no fingerprint."""


class Window(Part):
    """Which labelled rows train the model: all so far, or the newest `days`."""

    days: Days | None = Field(default=None, description="None is a growing window: everything up to now.")
    hold_out_days: Days = Field(default=14, description="Newest days kept from the challenger and judged on.")
    minimum_days: Days = Field(default=28, description="No training before this much history exists.")

    @pydantic.model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> Self:
        for name, value in (("days", self.days), ("minimum_days", self.minimum_days)):
            if value is not None and value <= self.hold_out_days:
                raise ValueError(
                    f"window.{name}={value} leaves nothing to train on beside window.hold_out_days="
                    f"{self.hold_out_days}: set {name} above {self.hold_out_days}"
                )
        return self


class Drift(Part):
    """How a partition is compared with the rows its champion was trained on."""

    sample_rows: int = Field(default=1500, ge=100, description="Seeded sample for Evidently's report.")
    psi: float = Field(
        default=0.25,
        gt=0,
        description="A column whose PSI exceeds this, and what chance reaches, has drifted.",
    )
    columns: list[str] | None = Field(default=None, description="Features compared; all by default.")
    false_alarm_every: Annotated[int, Field(ge=4, le=1000)] | None = Field(
        default=EVERY,
        exclude_if=EVERY.__eq__,
        description="Partitions in which chance alone raises one drift alarm; null: none is raised.",
    )
    minimum_effect: float = Field(
        default=EFFECT,
        ge=0.01,
        lt=0.5,
        exclude_if=EFFECT.__eq__,
        description="Smallest change worth a drift alarm: of the share of rows with a value, or without any, or of the chance, "
        "0.5 where nothing moved, that a row of now exceeds one of the reference.",
    )


class Leaks(Part):
    """When a feature that alone predicts the label nearly perfectly stops a training."""

    above: float = Field(
        default=0.98,
        gt=0.5,
        le=1,
        description="Largest AUC (regression: correlation of ranks) that one feature may reach by itself.",
    )
    allowed: list[str] = Field(
        default_factory=list,
        description="Features that may reach more, because they were known at the prediction.",
    )


class Skew(Part):
    """How much of the serving log is replayed through the offline store."""

    requests: int = Field(default=20_000, ge=1, description="Newest logged requests that are compared.")


def _window_fits(window: Window, calendar: Calendar) -> str | None:
    longest = longest_partition(calendar)
    if window.hold_out_days < longest:
        return (
            f"window.hold_out_days={window.hold_out_days} is shorter than a partition of {longest:g} days: set it to "
            f"at least {ceil(longest)}"
        )
    if calendar.end is None or window.minimum_days <= (calendar.end - calendar.start).days:
        return None
    return (
        f"window.minimum_days={window.minimum_days} is longer than the {(calendar.end - calendar.start).days} days of "
        f"the calendar, {calendar.start} to {calendar.end}: the model would never be trained"
    )


def _cool_down_fits(retrain: Retrain, window: Window) -> str | None:
    if retrain.cool_down_days >= window.hold_out_days:
        return None
    return (
        f"retrain.cool_down_days={retrain.cool_down_days} is shorter than "
        f"window.hold_out_days={window.hold_out_days}: a champion would be judged on rows it was trained on; "
        f"set cool_down_days to at least {window.hold_out_days}"
    )


RULES: dict[str, tuple[str, Callable[[Any, Any], str | None]]] = {
    "label": ("task", label_fits),
    "window": ("calendar", _window_fits),
    "gate": ("task", gate_fits),
    "retrain": ("window", _cool_down_fits),
    "rollout": ("task", rollout_fits),
    "pods": ("trainer", lambda value, trainer: pods_fit(value, trainer) if value else None),
}
"""Part of a spec -> the part above it that it must agree with, and how; an error carries the line of the part."""


def _is_none(value: object) -> bool:
    return value is None


def _clock_of_the_use_case() -> Literal["data", "wall"]:
    use_case = current_use_case()
    return use_case.clock if use_case else "data"


class ModelSpec(Part):
    """One model: its features and a label, and every rule by which it lives."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    description: str = ""
    owner: str = Field(description="Team or e-mail address that answers for the model.")
    task: Literal["classification", "regression"]
    features: Features | None = Field(
        default=None,
        exclude_if=_is_none,
        description="Features by name: a list of `view` and `view:feature`, or {exclude: [...]} for all but some; [] where "
        "prediction.request has all. They become a feature service of the model's name.",
    )
    feature_service: str = Field(
        default="",
        validate_default=True,
        description="A feature service of the use case's package, instead of features.",
    )
    prediction: Prediction
    label: Label
    calendar: Calendar = Field(
        default=cast(Calendar, None), validate_default=True, description="That of the use case by default."
    )
    trainer: Trainer = Field(default_factory=default_trainer, validate_default=True)
    window: Window = Field(default=Window(), validate_default=True)
    gate: Gate
    search: Search | None = Field(
        default=None, description="Adds the asset `<name>/search`, whose winner the next training takes."
    )
    slices: list[str] = Field(
        default_factory=list, description="Columns by whose values the metrics are split."
    )
    drift: Drift = Drift()
    retrain: Retrain = Field(default=Retrain(), validate_default=True)
    promotion: Promotion = Promotion()
    rollout: RolloutPlan | None = Field(
        default=None,
        exclude_if=_is_none,
        description="Steps by which a version that passed takes the requests; without it, all at once.",
    )
    deployment: Deployment = Deployment()
    batch: Batch | None = Field(
        default=None,
        exclude_if=_is_none,
        description="Adds the asset `<name>/batch_predictions`: rows scored as requests would be, without requests.",
    )
    skew: Skew = Skew()
    leaks: Leaks = Leaks()
    pods: Pods | None = Field(
        default=None, exclude_if=_is_none, description="What pods of Kubernetes its runs and stages need."
    )
    automation: Literal["on", "paused"] = Field(
        default="on", description="paused stops retraining and promotion; scoring and reports go on."
    )
    clock: Literal["data", "wall"] = Field(
        default_factory=_clock_of_the_use_case,
        description="What now is: data, the end of what was ingested; wall, the moment, so that a request is answered as "
        "of its arrival. Its use case says which.",
    )
    earlier_code: list[ImportPath] = Field(
        default_factory=list,
        description="Functions and classes that versions were made with before and that this spec no longer names. "
        "Whatever else a model file, a record or the registry names is not imported.",
    )

    @property
    def use_case(self) -> str:
        """The use case that the model belongs to: that of the table it predicts rows of."""
        return use_case_of(self.prediction.table)

    @property
    def row_columns(self) -> list[str]:
        """Columns of the row that the model is given beside its features."""
        return list(dict.fromkeys([*self.trainer.categories, *self.prediction.columns]))

    @property
    def code(self) -> frozenset[str]:
        """Import paths that this spec vouches for; nothing else is imported for one of its versions."""
        own = (self.prediction.rows, self.prediction.request_model)
        named = (*own, *trainer_code(self.trainer), *self.earlier_code)
        return frozenset(path for path in named if path)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _in_words_of_now(cls, content: Any) -> Any:
        return as_now(content) if isinstance(content, dict) else content

    @pydantic.field_validator("calendar", mode="before")
    @classmethod
    def _inherited(cls, value: object) -> object:
        if value is not None:
            return value
        if use_case := current_use_case():
            return use_case.calendar
        raise ValueError("there is no calendar: give one in the use case's use_case.yaml")

    @pydantic.field_validator("feature_service")
    @classmethod
    def _features_are_said_once(cls, value: str, info: pydantic.ValidationInfo) -> str:
        if "features" not in info.data:
            return value
        return service_name(info.data["features"], value, info.data.get("name", ""))

    @pydantic.field_validator("trainer")
    @classmethod
    def _request_texts_are_categories(cls, value: Trainer, info: pydantic.ValidationInfo) -> Trainer:
        """A text is no number, so there is nothing else that it could be."""
        prediction = info.data.get("prediction")
        more = [name for name in prediction.texts if name not in value.categories] if prediction else []
        return value.model_copy(update={"categories": [*value.categories, *more]}) if more else value

    @pydantic.field_validator("automation", mode="before")
    @classmethod
    def _yaml_reads_on_as_true(cls, value: object) -> object:
        return "on" if value is True else value

    @pydantic.field_validator("label", "window", "gate", "retrain", "rollout", "pods")
    @classmethod
    def _agrees_with_what_stands_above(cls, value: Part | None, info: pydantic.ValidationInfo) -> Part | None:
        other, rule = RULES[str(info.field_name)]
        if other in info.data and (problem := rule(value, info.data[other])):
            raise ValueError(problem)
        return value

    @pydantic.field_validator("window")
    @classmethod
    def _labels_come_in_time(cls, value: Window, info: pydantic.ValidationInfo) -> Window:
        label, calendar = info.data.get("label"), info.data.get("calendar")
        if label and calendar and (problem := labels_come_in_time(label, value.minimum_days, calendar)):
            raise ValueError(problem)
        return value

    @pydantic.field_validator("prediction", "label", "trainer", "gate", "slices", "drift")
    @classmethod
    def _columns_are_kept_apart(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        name = str(info.field_name)
        if problem := columns_meet(name, value, info.data):
            raise ValueError(problem)
        return value

    @pydantic.field_validator("batch")
    @classmethod
    def _batch_has_a_key(cls, value: Batch | None, info: pydantic.ValidationInfo) -> Batch | None:
        prediction = info.data.get("prediction")
        if prediction and (problem := batch_fits(value, prediction.key)):
            raise ValueError(problem)
        return value

    @pydantic.field_validator("search")
    @classmethod
    def _search_agrees_with_task_and_trainer(
        cls, value: Search | None, info: pydantic.ValidationInfo
    ) -> Search | None:
        known = info.data
        if value is None or not {"task", "trainer"} <= known.keys():
            return value
        if problem := search_fits(value, known["task"], known["trainer"]):
            raise ValueError(problem)
        return value
