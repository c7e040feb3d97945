"""The kinds of trainers that are installed, as a fit, a scorer and the registry look them up.

A class that reads a model's bytes is code. It is this repository's, or the spec names its kind (`spec.code`): neither bytes
nor records choose one.
"""

from collections.abc import Collection
from dataclasses import replace

from mlops_assets.ml.dataset import DatasetError
from mlops_assets.ml.training.recalibrated import FILE_PREFIX, parts
from mlops_assets.ml.training.trainers.base import TrainerKind
from mlops_assets.spec.model import ModelSpec
from mlops_assets.spec.trainers import TrainerError, spec_kind, spec_kinds


def trainer_kind(name: str) -> TrainerKind:
    """The kind of that name as it describes itself; TrainerError where none is installed."""
    return _whole(name, spec_kind(name))


def trainer_kinds() -> list[TrainerKind]:
    """All that are installed, the default first."""
    return [trainer_kind(name) for name in spec_kinds()]


def refuse_untrainable(spec: ModelSpec) -> None:
    """Raise DatasetError for a spec that its kind of trainer cannot fit here, before any row is read."""
    kind = trainer_kind(spec.trainer.kind)
    kind.refuse_missing()
    kind.check(spec)


def readers(code: Collection[str]) -> list[TrainerKind]:
    """The kinds whose models may be read: those of this repository, and those whose reader is among `code`."""
    return [kind for kind in trainer_kinds() if kind.is_ours or kind.reader in code]


def kind_of(model: bytes, code: Collection[str] = ()) -> str:
    """The kind of trainer that wrote a model, recalibrated since or not, told from its bytes by the kinds that may be read."""
    model, _ = parts(model)
    allowed = readers(code)
    names = [kind.name for kind in allowed if kind.recognises(model)]
    if len(names) == 1:
        return names[0]
    if names:
        raise DatasetError(
            f"a file that begins with {model[:12]!r} is taken for a model of {' and of '.join(names)}: begin the "
            f"files of one of them with bytes of its own"
        )
    raise DatasetError(
        f"a file that begins with {model[:12]!r} is no model of {', '.join(kind.name for kind in allowed)}: it was not "
        f"written by mlops_assets.ml.training.fit.fit, or its trainer is not installed, or no trainer of the spec's"
    )


def stored_as(file: str) -> TrainerKind:
    """The kind whose models lie in a file of that name; TrainerError where there is none, or more than one.

    A recalibrated model is none that its trainer's library opens: MLflow reads it by this project.
    """
    if file.startswith(FILE_PREFIX):
        kind = stored_as(file.removeprefix(FILE_PREFIX))
        return replace(kind, flavor=None, packages=tuple(dict.fromkeys(["mlops-assets", *kind.packages])))
    kinds = [kind for kind in trainer_kinds() if kind.file == file]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        names = " and ".join(kind.name for kind in kinds)
        raise TrainerError(f"the trainers {names} both call their model's file {file}: rename one of them")
    known = ", ".join(f"{kind.file} ({kind.name})" for kind in trainer_kinds())
    raise TrainerError(f"no trainer that is installed calls its model's file {file!r}; there are {known}")


def _whole(name: str, kind: object) -> TrainerKind:
    if not isinstance(kind, TrainerKind):
        raise TrainerError(
            f"the entry point {name} names a {type(kind).__name__}, which has nothing to fit with: it must be a "
            f"{TrainerKind.__module__}.{TrainerKind.__name__}"
        )
    return kind
