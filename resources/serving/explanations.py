"""What each feature added to a score, as an answer tells it: the model's own contributions, the largest first."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import polars as pl

MOST_ROWS = 50
"""Rows that are explained at once: one takes five to ten times as long as its score."""

FORMULAS = {
    "identity": "base + contributions = raw = {score}",
    "logit": "base + contributions = raw, the log-odds; {score} = 1 / (1 + exp(-raw))",
    "log": "base + contributions = raw; {score} = exp(raw)",
}


class Contributions(Protocol):
    """By row, what a score is made of before the link: `base` [rows] and `values` [rows, features]."""

    @property
    def link(self) -> str: ...

    @property
    def base(self) -> np.ndarray: ...

    @property
    def values(self) -> np.ndarray: ...


class Explains(Protocol):
    """A scorer that can say what its features add: `contributions` of a frame, in the order of `features`."""

    @property
    def features(self) -> Sequence[str]: ...

    def contributions(self, frame: pl.DataFrame) -> Contributions: ...


def explains(scorer: Any) -> bool:
    """Whether a scorer can say what its features add."""
    return getattr(scorer, "contributions", None) is not None


def explained(scorer: Any, frame: pl.DataFrame, answers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The answers, each with its `explanation`; `frame` holds the features of each as they were served."""
    contributions, names = scorer.contributions(frame), list(scorer.features)
    given = frame.select(names).to_dicts()
    return [
        {**answer, "explanation": _explanation(answer, contributions, row, given[row], names)}
        for row, answer in enumerate(answers)
    ]


def _explanation(
    answer: Mapping[str, Any],
    contributions: Contributions,
    row: int,
    given: Mapping[str, Any],
    names: Sequence[str],
) -> dict[str, Any]:
    values, base = contributions.values[row], float(contributions.base[row])
    order = sorted(range(len(names)), key=lambda place: (-abs(values[place]), place))
    score = "probability" if "probability" in answer else "value"
    return {
        "link": contributions.link,
        "formula": FORMULAS[contributions.link].format(score=score),
        "base": base,
        "raw": base + float(values.sum()),
        score: answer[score],
        "contributions": [
            {
                "feature": names[place],
                "value": _shown(given[names[place]]),
                "contribution": float(values[place]),
            }
            for place in order
        ],
    }


def _shown(value: Any) -> Any:
    """A feature's value as the user knows it; what JSON cannot say is null."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
