"""All assets of one model, in the order in which a row lives through them."""

import dagster as dg

from mlops_assets.assets.batch_predictions import batch_predictions
from mlops_assets.assets.card import card
from mlops_assets.assets.deployment import deployment
from mlops_assets.assets.evaluation import evaluation
from mlops_assets.assets.model import model
from mlops_assets.assets.monitoring import drift, performance
from mlops_assets.assets.predictions import predictions
from mlops_assets.assets.rollout import rollout
from mlops_assets.assets.search import search
from mlops_assets.assets.skew import skew
from mlops_assets.assets.training_set import training_set
from mlops_assets.spec.model import ModelSpec

STAGES = (training_set, model, evaluation, deployment, predictions, performance, drift, skew, card)


def model_assets(spec: ModelSpec) -> list[dg.AssetsDefinition]:
    """The assets of a model, and its search, its batch predictions and its roll-out where the spec has them."""
    has = {search: spec.search, batch_predictions: spec.batch, rollout: spec.rollout}
    optional = [stage for stage, part in has.items() if part]
    return [stage(spec) for stage in (*STAGES, *optional)]
