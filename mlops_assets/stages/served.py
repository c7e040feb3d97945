"""What the endpoint serves a model with, asked by the model's name: the code that its spec in the repository names."""

from functools import partial

from mlops_assets.ml.training.explained import ExplainingScorer
from mlops_assets.ml.training.kinds import trainer_kind
from mlops_assets.spec.files import read_specs
from mlops_assets.spec.model import ModelSpec
from resources.serving.code import Code

SCORER = "mlops_assets.ml.training.fit:Scorer"


def declared(name: str) -> Code | None:
    """The code of a model of the repository as its files are now; None where none declares it."""
    spec = read_specs().get(name)
    return code_of(spec) if spec else None


def code_of(spec: ModelSpec) -> Code:
    """The code that a spec vouches for, that of its earlier versions too."""
    return Code(
        names={
            "scorer": frozenset({SCORER}),
            "rows": _paths(spec.prediction.rows, *spec.earlier_code),
            "request": _paths(spec.prediction.request_model, *spec.earlier_code),
        },
        scorer=partial(ExplainingScorer, code=spec.code),
        use_case=spec.use_case,
    )


def ahead() -> list[str]:
    """The libraries that score the models of the repository, to be imported before the first request."""
    kinds = [trainer_kind(spec.trainer.kind) for spec in read_specs().values()]
    return sorted({name for kind in kinds for name in kind.ahead})


def _paths(*paths: str | None) -> frozenset[str]:
    return frozenset(path for path in paths if path)
