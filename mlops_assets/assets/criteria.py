"""What a challenger was held to, as the rows of a table on the evaluation's page."""

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_assets.kit.metadata import metric_value
from mlops_assets.ml.judging.guardrails import Criterion


def criteria_rows(criteria: Sequence[Criterion], rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a criterion: what was found, the gain over the champion with its interval, p, and whether it passes."""
    alpha = rule["alpha"]
    rows = [criterion.record(alpha) for criterion in criteria]
    level = f"{100 * (1 - 2 * alpha):.3g}% interval"
    return [
        {
            "test": f"{row['kind']} {row['name']}".removeprefix("slice "),
            "challenger": metric_value(_metric(criterion), row["challenger"]),
            "champion": metric_value(_metric(criterion), row["champion"])
            if criterion.effect
            else row["champion"],
            "gain": metric_value(_metric(criterion), row["gain"]) if criterion.effect else None,
            level: _span(row["low"], row["high"]) if criterion.effect else None,
            "p": "undefined" if row["p"] is None and _is_tested(criterion, rule) else row["p"],
            **({"corrected p": row["corrected_p"]} if row["kind"] == "slice" else {}),
            "limit": row["limit"],
            "passes": "yes" if row["passes"] else "no",
        }
        for criterion, row in zip(criteria, rows, strict=True)
    ]


def _metric(criterion: Criterion) -> str:
    """The metric whose numbers a criterion holds."""
    return criterion.effect.metric if criterion.effect else criterion.name


def _is_tested(criterion: Criterion, rule: Mapping[str, Any]) -> bool:
    """Whether a p value belongs to the criterion: the bare difference is not tested."""
    return criterion.effect is not None and (
        criterion.kind not in ("evidence", "anchor") or rule["evidence"] != "point"
    )


def _span(low: float | None, high: float | None) -> str:
    return "undefined" if low is None or high is None else f"{low:.4f} to {high:.4f}"
