"""Is a registered version what its lineage says: every node compared, from the raw partitions to the model's bytes."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import polars as pl
import pydantic

from mlops_assets.errors import WorkError
from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.provenance.differences import Difference, differences
from mlops_assets.ml.training.fit import Scorer
from mlops_assets.ml.training.ladder import ComputeError
from mlops_assets.spec.decides import of_a_fit
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.tables import TableError
from mlops_assets.verify.rebuild import Rebuild, spec_of
from resources.audit.log import Audit
from resources.compute.kuberay import KubeRayError
from resources.compute.rayjob import TemplateError
from resources.features.store import FeatureStoreError
from resources.lake.lake import LakeError
from resources.records.lineage import FILE, Lineage, LineageError
from resources.tracking.tracking import Tracking, TrackingError, Version
from resources.tracking.versions import LINEAGE, sha256

WITHIN = 1e-6
"""Largest difference of a prediction that counts as none, unless it is given."""

Outcome = Literal["IDENTICAL", "EQUAL WITHIN", "DIFFERENT"]
CANNOT_BE_REBUILT = (
    *(ComputeError, KubeRayError, TemplateError),
    *(DatasetError, FeatureStoreError, LakeError, TableError),
    *(WorkError, pl.exceptions.PolarsError, pydantic.ValidationError, ModuleNotFoundError),
)


class VerificationError(Exception):
    """A version that nothing can be said about."""


@dataclass(frozen=True)
class Verdict:
    """What came of rebuilding a version; `differences` are in the order in which one thing follows from another.

    `largest` is the largest difference between a prediction of the registered and of the rebuilt model on the rows that
    they were fitted on, where the bytes differ and both could be asked.
    """

    model: str
    version: int | None
    outcome: Outcome
    differences: list[Difference] = field(default_factory=list)
    largest: float | None = None
    lineage: str = ""
    layout: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        return self.outcome != "DIFFERENT"

    @property
    def name(self) -> str:
        return f"{self.model}@{self.version}" if self.version else self.model

    def __str__(self) -> str:
        first = str(self.differences[0]) if self.differences else ""
        if self.outcome == "IDENTICAL":
            return f"{self.name}: IDENTICAL{', although ' + first if first else ''}"
        if self.outcome == "EQUAL WITHIN":
            return f"{self.name}: EQUAL WITHIN {self.largest:g}; first difference at {first}"
        return f"{self.name}: DIFFERENT, first at {first}"

    def as_json(self) -> dict[str, Any]:
        """Plain values: everything that the command prints."""
        nodes = [vars(one) for one in self.differences]
        first = nodes[0]["node"] if nodes else None
        return {
            **{name: getattr(self, name) for name in ("model", "version", "outcome", "largest", "lineage")},
            "first": first,
            "differences": nodes,
            "layout": self.layout,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Base:
    """The version that another one recalibrates, and its bytes."""

    version: Version
    content: bytes


def verify_version(
    version: Version,
    tracking: Tracking,
    audit: Audit,
    rebuild: Rebuild,
    declared: ModelSpec | None,
    within: float = WITHIN,
) -> Verdict:
    """Rebuild a registered version; a lineage or a model file that is not what its hash says is a difference too."""
    named: dict[str, Any] = {"model": version.name, "version": version.number}
    try:
        lineage = registered_lineage(version, tracking, audit)
        registered = tracking.load(version)
    except (LineageError, TrackingError) as error:
        node = "lineage" if isinstance(error, LineageError) else "model file"
        return Verdict(**named, outcome="DIFFERENT", differences=[Difference(node, "whole", str(error))])
    if lineage.result["sha256"] != version.sha256:
        differences = [Difference("model", lineage.result["sha256"], version.sha256)]
        return Verdict(**named, outcome="DIFFERENT", differences=differences)
    base, differences = None, []
    if one := lineage.result.get("recalibration"):
        base, differences = _base(
            tracking.version(version.name, one["version"]), tracking, audit, rebuild, declared, within
        )
    verdict = verify(lineage, rebuild, declared, registered, within, version.number, base)
    if not differences:
        return verdict
    return replace(verdict, outcome="DIFFERENT", differences=[*differences, *verdict.differences])


def _base(
    version: Version,
    tracking: Tracking,
    audit: Audit,
    rebuild: Rebuild,
    declared: ModelSpec | None,
    within: float,
) -> tuple[Base, list[Difference]]:
    """The version that another one recalibrates, with its bytes, and what differs where it cannot be rebuilt itself."""
    verdict = verify_version(version, tracking, audit, rebuild, declared, within)
    wrong = [Difference(f"version {version.number}, which it recalibrates", "IDENTICAL", str(verdict))]
    return Base(version, tracking.load(version)), [] if verdict.holds else wrong


def registered_lineage(version: Version, tracking: Tracking, audit: Audit) -> Lineage:
    """The version's lineage, held against its tag and against the audit log's record of the training."""
    digest = version.tags.get(LINEAGE)
    if digest is None:
        raise VerificationError(
            f"{version.name}@{version.number} was registered before lineage was recorded: train it again to verify it"
        )
    recorded = _recorded(version, audit)
    if recorded not in (None, digest):
        raise LineageError(
            f"{version.name}@{version.number}: the tag {LINEAGE!r} is {digest}, the audit log recorded {recorded}: "
            f"the tag was changed after the training"
        )
    return Lineage.read(tracking.artifact(version, FILE), digest)


def verify(
    lineage: Lineage,
    rebuild: Rebuild,
    declared: ModelSpec | None = None,
    registered: bytes | None = None,
    within: float = WITHIN,
    version: int | None = None,
    base: Base | None = None,
) -> Verdict:
    """Rebuild from a lineage alone and say how it compares; `registered` are the model's bytes, where they are at hand.

    Of a recalibration, `base` is the version whose bytes it lies in front of, which no lineage but that version's own rebuilds.

    Code that the lineage names and `declared` does not is never imported. Sources must be the lineage's, else nothing is computed. Other code, packages or definitions are named, and the
    verdict is about what comes out. The rebuild follows the lineage's spec; the one `declared` now is only compared.
    """
    started, differences = time.perf_counter(), [*_unvouched(lineage, declared)] or rebuild.sources(lineage)
    outcome, largest = "DIFFERENT", None
    if not differences:
        try:
            for difference in _before_the_model(lineage, rebuild, declared):
                differences.append(difference)
            outcome, largest, after = _model(lineage, rebuild, registered, within, base)
            differences += after
        except CANNOT_BE_REBUILT as error:
            differences.append(Difference("rebuild", "possible", f"{type(error).__name__}: {error}"))
    seconds = round(time.perf_counter() - started, 1)
    return Verdict(
        *(lineage.model, version, outcome, differences, largest, lineage.sha256, lineage.layout, seconds)
    )


def _unvouched(lineage: Lineage, declared: ModelSpec | None) -> Iterator[Difference]:
    """Import paths that the lineage names and the repository's spec does not: a record decides no import."""
    vouched = declared.code if declared else frozenset()
    for path in sorted(spec_of(lineage).code - vouched):
        yield Difference(
            f"code {path}", path, "not named by the spec (list it under earlier_code if it is right)"
        )


def _before_the_model(lineage: Lineage, rebuild: Rebuild, declared: ModelSpec | None) -> Iterator[Difference]:
    """What differs before anything is computed, then as it is computed."""
    of_the_fit = lineage.model_copy(update={"spec": of_a_fit(lineage.spec)})
    yield from differences(of_the_fit, rebuild.surroundings(lineage, declared))
    yield from rebuild.tables(lineage)
    yield from rebuild.training_set(lineage)


def _model(
    lineage: Lineage, rebuild: Rebuild, registered: bytes | None, within: float, base: Base | None = None
) -> tuple[Outcome, float | None, list[Difference]]:
    one, then = lineage.result.get("recalibration"), lineage.result["sha256"]
    if one and (base is None or base.version.sha256 != one["of"]):
        return "DIFFERENT", None, [_other_base(one, base)]
    fitted = rebuild.recalibrated(lineage, base.version, base.content) if base else rebuild.model(lineage)
    rebuilt = fitted.model
    if sha256(rebuilt) == then:
        return "IDENTICAL", None, []
    differs = [Difference("model", then, sha256(rebuilt))]
    if registered is None:
        return "DIFFERENT", None, differs
    largest = largest_difference(registered, rebuilt, rebuild.rows(lineage), spec_of(lineage).code)
    return ("EQUAL WITHIN" if largest <= within else "DIFFERENT"), largest, differs


def _other_base(one: Mapping[str, Any], base: Base | None) -> Difference:
    """That the version which was recalibrated is not at hand, or is another one by now."""
    now = (
        base.version.sha256
        if base
        else f"not at hand: verify by `mlops verify MODEL@VERSION`, over the registry that has version {one['version']}"
    )
    return Difference(f"version {one['version']}, which it recalibrates", one["of"], now)


def largest_difference(one: bytes, other: bytes, rows: pl.DataFrame, code: Collection[str] = ()) -> float:
    """The largest absolute difference between two models' predictions on the same rows, in the label's unit."""
    first, second = (Scorer(model, code=code).predict(rows) for model in (one, other))
    return float(np.abs(first - second).max(initial=0.0))


def _recorded(version: Version, audit: Audit) -> str | None:
    """The lineage's hash in the audit log, or None where the training is not in it."""
    fits = (entry for entry in audit.entries(version.name, ("trained",)) if entry.version == version.number)
    return next((entry.evidence.get(LINEAGE) for entry in fits), None)


def verify_all(
    tracking: Tracking,
    audit: Audit,
    rebuild: Rebuild,
    specs: Mapping[str, ModelSpec],
    within: float = WITHIN,
    tell: Callable[[str], Any] = print,
) -> Iterator[Verdict]:
    """Every registered version that has a lineage, model by model, oldest first; the others are told and left out."""
    for name, spec in sorted(specs.items()):
        for version in tracking.versions(name):
            if LINEAGE not in version.tags:
                tell(f"{name}@{version.number}: registered before lineage was recorded, left out")
                continue
            yield verify_version(version, tracking, audit, rebuild, spec, within)
