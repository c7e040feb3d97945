"""What makes a model version the same version, whoever asks and how often."""

import hashlib

from mlops_assets.spec.decides import spec_digest
from mlops_assets.spec.model import ModelSpec
from mlops_assets.stages.fingerprints import fit_code, recalibration_code
from mlops_assets.stages.training_set import TrainingData


def version_identity(spec: ModelSpec, data: TrainingData, kind: str, recalibrated: str = "") -> str:
    """What makes a version the same version: model, rules of the fit, rows, code and the moment, whoever asks and how often.

    `recalibrated` says of a recalibration what it is one of (`recalibration_of`).
    """
    parts = [spec.name, spec_digest(spec), data.partition, data.learnt_from, code_version(spec), kind]
    parts += [recalibrated] if recalibrated else []
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def recalibration_of(sha256: str, curve: str) -> str:
    """What a recalibration is one of: a model by its hash, by a curve, by the code of now."""
    return f"{curve} of {sha256} by {recalibration_code()}"


def code_version(spec: ModelSpec) -> str:
    """Hash of the code that turns a training set into a model; comments and layout are not part of it."""
    return fit_code(spec)[:16]
