"""Categories that no training row had: told in the answer that met one, and counted for whoever watches the endpoint."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

MOST_VALUES = 20
LONGEST_VALUE = 80


@dataclass
class _Column:
    """How many answers had an unseen value in one column, and how often each of the first few values came."""

    answers: int = 0
    values: Counter[str] = field(default_factory=Counter)

    def add(self, value: str) -> None:
        self.answers += 1
        if value in self.values or len(self.values) < MOST_VALUES:
            self.values[value] += 1

    def status(self) -> dict[str, Any]:
        return {
            "answers": self.answers,
            "values": dict(self.values),
            "with_other_values": self.answers - self.values.total(),
        }


class UnseenCategories:
    """Counts by model and column since the endpoint started; of each column at most MOST_VALUES values are remembered."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._models: dict[str, dict[str, _Column]] = {}

    def count(self, model: str, unseen: Mapping[int, Mapping[str, str]]) -> dict[int, list[str]]:
        """Count what the rows of one batch have unseen, by row and column; gives the sentences of each row."""
        sentences: dict[int, list[str]] = {}
        with self._lock:
            columns = self._models.setdefault(model, {})
            for row, values in unseen.items():
                shown = {column: _shown(value) for column, value in values.items()}
                for column, value in shown.items():
                    columns.setdefault(column, _Column()).add(value)
                sentences[row] = [
                    f"{column} {value!r} was not in the training rows" for column, value in shown.items()
                ]
        return sentences

    def answers_with(
        self, model: str, unseen: Mapping[int, Mapping[str, str]], answers: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """The answers, `warnings` beside those whose row has an unseen category: by row, the text of each by column."""
        if not unseen:
            return answers
        sentences = self.count(model, unseen)
        return [
            {**answer, "warnings": sentences[row]} if row in sentences else answer
            for row, answer in enumerate(answers)
        ]

    def status(self) -> dict[str, Any]:
        """By model and column: answers that met an unseen value, and which values those were."""
        with self._lock:
            return {
                model: {name: column.status() for name, column in columns.items()}
                for model, columns in self._models.items()
            }


def _shown(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}…"
