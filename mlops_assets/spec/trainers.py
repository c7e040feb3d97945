"""The trainer of a spec: what all kinds share, and the kinds that are installed, each of which describes itself.

A kind is found by an entry point of the group `mlops_assets.trainers`, those that come with the platform too. Its name
in a spec is the entry point's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from itertools import combinations
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, SerializeAsAny
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from mlops_assets.spec.base import Part
from mlops_assets.spec.dimensions import Choices, Range

GROUP = "mlops_assets.trainers"
CELLS_IN_PROCESS = 100_000_000
"""Rows times features: about two and a half million rows of forty features, a fit of a few minutes on two cores."""


class AnyTrainer(Part):
    """What all trainers share; the same seed, data, threads and number of workers give the same bytes."""

    kind: Any = Field(description="Name of the kind of trainer; each kind has its own.")
    categories: list[str] = Field(
        default_factory=list, description="Feature or join-key columns treated as categories."
    )
    rounds: int = Field(default=400, ge=1, description="Boosting rounds, or epochs, at most.")
    early_stopping_rounds: int = Field(
        default=25, ge=1, description="Rounds or epochs without gain after which a fit stops."
    )
    validation_share: float = Field(
        default=0.15, gt=0, lt=0.5, description="Newest share of the training rows that decides when to stop."
    )
    seed: int = 0
    threads: int = Field(
        default=2, ge=1, description="Threads of a fit, and CPUs that a worker asks Ray for."
    )
    compute: Literal["auto", "in_process", "local", "cluster"] = Field(
        default="auto", description="auto climbs by the size of the data; anything else is forced."
    )
    cells_in_process: int = Field(
        default=CELLS_IN_PROCESS,
        ge=0,
        description="Rows times features up to which auto trains in this process, without Ray.",
    )
    workers: int = Field(default=1, ge=1, description="Processes that share one fit where it runs on Ray.")
    gpu: bool = Field(default=False, description="Train on a GPU; on Ray every worker gets one.")
    accelerator_type: str | None = Field(
        default=None, description="Ray's name of the accelerator, for instance A10G."
    )
    resources_per_worker: dict[str, float] = Field(
        default_factory=dict, description="Ray resources of a worker; CPU is `threads` unless given."
    )
    checkpoint_every: int | None = Field(
        default=None,
        ge=1,
        description="Rounds or epochs between checkpoints; by default 25 on several workers, else none.",
    )

    def hyperparameters(self) -> dict[str, Any]:
        """What is logged of the trainer beside rounds and seed."""
        return dict(getattr(self, "parameters", {}))

    @property
    def code(self) -> tuple[str, ...]:
        """Import paths of functions and classes that this trainer names, beside those of its kind."""
        return ()

    @property
    def scoring_code(self) -> tuple[str, ...]:
        """Those of `code` that score."""
        return ()


class TrainerError(ValueError):
    """A kind of trainer that is not installed, or an entry point that brings none."""


@dataclass(frozen=True, kw_only=True)
class SpecKind:
    """What a spec must know of a kind of trainer.

    Its name is what `spec` takes as `kind`. `space` is searched where the spec names no other, and `aliases` are other names
    of its parameters, so that none is given twice. `libraries` are those that compute, by what they are imported as, with
    the names they are installed under: their versions count.
    """

    spec: type[AnyTrainer]
    scorer: type
    space: Mapping[str, Range | Choices] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    default: bool = False
    distributed: bool = False
    gpu: bool = False
    icon: str = "python"
    libraries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What a spec calls it."""
        (name,) = get_args(self.spec.model_fields["kind"].annotation) or ("",)
        return name

    @property
    def reader(self) -> str:
        """Import path of the class that reads its models."""
        return f"{self.scorer.__module__}:{self.scorer.__qualname__}"

    @property
    def is_ours(self) -> bool:
        """Whether the class that reads its models is code of this repository."""
        return self.scorer.__module__.split(".")[0] == __name__.split(".")[0]

    def checked(self, value: Mapping[str, Any]) -> AnyTrainer:
        """The trainer that a spec writes down; ValueError for hardware that the kind cannot use."""
        trainer = self.spec.model_validate({"kind": self.name, **value})
        if trainer.workers > 1 and not self.distributed:
            raise ValueError(
                f"workers={trainer.workers}: trainer kind {self.name} fits on one worker alone; set workers to 1"
            )
        if trainer.gpu and not self.gpu:
            raise ValueError(f"gpu=true: trainer kind {self.name} cannot use a GPU; set gpu to false")
        return trainer


@cache
def spec_kinds() -> dict[str, SpecKind]:
    """Every kind of trainer that is installed, the default first, then by name.

    Raises TrainerError for an entry point that cannot be used, and for two that claim the same.
    """
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    if not points:
        raise TrainerError(
            f"no trainer is installed: there is no entry point of the group {GROUP}; install the project again, "
            "in its folder: pip install --no-deps --no-build-isolation -e ."
        )
    _refuse_two("are both called {}", [(point, point.name) for point in points])
    kinds = [_loaded(point) for point in points]
    pairs = list(zip(points, kinds, strict=True))
    _refuse_two("are both the default", [(point, "") for point, kind in pairs if kind.default])
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: not kind.default)}


def _loaded(point: EntryPoint) -> SpecKind:
    try:
        kind = point.load()
    except Exception as error:
        raise TrainerError(
            f"{_in_words(point)} cannot be imported: {type(error).__name__}: {error}; repair it or uninstall it"
        ) from error
    if not isinstance(kind, SpecKind):
        raise TrainerError(
            f"{_in_words(point)} names a {type(kind).__name__}: it must name a TrainerKind of "
            "mlops_assets.ml.training.trainers.base"
        )
    if kind.name != point.name:
        raise TrainerError(
            f"{_in_words(point)} describes kind {kind.name!r}: call the entry point as its spec's `kind` is called"
        )
    return kind


def _refuse_two(said: str, claims: Sequence[tuple[EntryPoint, str]]) -> None:
    for (one, claim), (other, same) in combinations(claims, 2):
        if claim == same:
            raise TrainerError(
                f"{_in_words(one)} and {_in_words(other)} {said.format(claim)}: uninstall one of them"
            )


def _in_words(point: EntryPoint) -> str:
    by = f" of {point.dist.name} {point.dist.version}" if point.dist else ""
    return f"the entry point {point.name} = {point.value}{by}, group {GROUP},"


def spec_kind(name: object) -> SpecKind:
    """The kind of that name; TrainerError where none is installed."""
    kinds = spec_kinds()
    if not isinstance(name, str) or name not in kinds:
        raise TrainerError(f"trainer kind {name!r} does not exist: choose from {', '.join(kinds)}")
    return kinds[name]


def trainer_code(trainer: AnyTrainer) -> tuple[str, ...]:
    """Import paths that a spec vouches for by its trainer: those it names, and the reader of a kind from elsewhere."""
    kind = spec_kind(trainer.kind)
    return (*trainer.code, *(() if kind.is_ours else (kind.reader,)))


def default_kind() -> SpecKind:
    """The kind that a spec means which names none."""
    first = next(iter(spec_kinds().values()))
    if not first.default:
        raise TrainerError(f"trainer.kind is missing: choose from {', '.join(spec_kinds())}")
    return first


def default_trainer() -> AnyTrainer:
    """The trainer of a spec that names none."""
    return default_kind().checked({})


def _of_its_kind(value: object) -> object:
    """Check a trainer as the one kind it names, so that a mistake is told once and at its own line."""
    if not isinstance(value, dict):
        return value
    return (spec_kind(value["kind"]) if "kind" in value else default_kind()).checked(value)


class _OneOfTheKinds:
    """The type of a trainer as pydantic sees it: whatever kinds are installed when it is first needed."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_of_its_kind, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [handler(kind.spec.__pydantic_core_schema__) for kind in spec_kinds().values()]}


Trainer = Annotated[SerializeAsAny[AnyTrainer], _OneOfTheKinds()]
