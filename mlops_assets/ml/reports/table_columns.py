"""What each column of a model's own tables says, for who reads it: predictions, batch predictions and performance."""

from mlops_assets.spec.batch import AS_OF, REFUSED
from mlops_assets.spec.columns import STORED_SCORE, STORED_VERSION
from mlops_assets.spec.gate import METRICS
from mlops_assets.spec.model import ModelSpec

OF_METRIC = {
    "auc": "Chance that a positive row scores above a negative one, ties counting half; null where one kind is missing.",
    "log_loss": "Mean negative log likelihood of the labels, in nats; lower is better.",
    "brier": "Mean squared distance of the score from the label, 0 to 1; lower is better.",
    "calibration_error": "Mean distance of the predicted from the observed rate over tenths of the rows, 0 to 1.",
    "mae": "Mean absolute error, in the label's unit.",
    "rmse": "Root of the mean squared error, in the label's unit.",
    "bias": "Mean of score less label, in the label's unit; 0 is best.",
}
CALIBRATION = {
    "calibration_in_the_large": "Mean label less mean score, 0 where scores are right on average; null where calibration is not defined.",
    "calibration_slope": "Slope of the labels' logistic regression on the log odds of the scores (Cox 1958): 1 where calibrated, under 1 where scores are too extreme.",
    "calibration_intercept": "Intercept of that regression: 0 where calibrated.",
}
OF_FIGURE = {
    "_low": "Lower end of the 95% interval of `{}`, by days.",
    "_high": "Upper end of the 95% interval of `{}`, by days.",
    "_p": "Two-sided p value that `{}` is what calibrated scores have, by days, not corrected.",
}
COUNTS = {
    "week": "The partition.",
    "rows": "Rows of the partition.",
    "labelled": "Rows whose label counts by now.",
    "unlabelled": "Rows that could have a label by now and have none.",
    "not_yet_known": "Rows whose label is still to come.",
    "scored": "Labelled rows that a champion had scored, which all metrics are of.",
}
VERSION = "The version that was champion at the prediction; null where there was none."
KEY, SCORE = (
    "Names the prediction.",
    {"classification": "Probability, 0 to 1.", "regression": "Predicted value, in the label's unit."},
)


def performance_columns(spec: ModelSpec) -> dict[str, str]:
    """Columns of `<model>/performance`, one row a partition."""
    metrics = {name: OF_METRIC[name] for name in METRICS[spec.task]}
    return COUNTS | metrics | _calibration_columns(spec) | {STORED_VERSION: VERSION}


def _calibration_columns(spec: ModelSpec) -> dict[str, str]:
    if spec.task != "classification":
        return {}
    parts = {name + part: text.format(name) for name in CALIBRATION for part, text in OF_FIGURE.items()}
    return CALIBRATION | parts


def prediction_columns(spec: ModelSpec) -> dict[str, str]:
    """Columns of `<model>/predictions`, one row a prediction."""
    named = dict.fromkeys(spec.prediction.key, KEY)
    time = {spec.prediction.time: "The moment of the prediction; nothing that was known later was used."}
    return named | time | {STORED_SCORE: SCORE[spec.task], STORED_VERSION: VERSION}


def batch_columns(spec: ModelSpec) -> dict[str, str]:
    """Columns of `<model>/batch_predictions`, one row for each that was asked about."""
    key = (spec.batch.key if spec.batch else None) or spec.prediction.key
    return dict.fromkeys(key, "Names the row.") | {
        AS_OF: "The moment as of which features were read.",
        STORED_SCORE: f"{SCORE[spec.task]} Null where the row was refused.",
        STORED_VERSION: "The version that answers at the endpoint.",
        REFUSED: "Why the endpoint would not answer the row; null where it would.",
    }
