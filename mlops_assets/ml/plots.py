"""Pictures of an evaluation as PNG bytes, 640 pixels wide.

Matplotlib's object interface only: no pyplot, so there is no global state and threads may draw at once. The bytes
carry no date and no version, so the same numbers give the same file.
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlops_assets.ml.evaluation import auc, calibration_error, reliability

INK, BLUE, GREY, ORANGE = "#1f2933", "#2563eb", "#9aa5b1", "#d97706"
MOST_BARS = 15


def draw(y: np.ndarray, score: np.ndarray, task: str, importance: Mapping[str, float]) -> dict[str, bytes]:
    """All pictures of a task by name: what `evaluation.evaluation_plots` returns."""
    y, score = np.asarray(y, np.float64), np.asarray(score, np.float64)
    if task == "classification":
        pictures = {"reliability": reliability_plot(y, score), "roc": roc_plot(y, score)}
    else:
        pictures = {"predicted_vs_actual": predicted_plot(y, score), "residuals": residuals_plot(y, score)}
    return {**pictures, "importance": importance_plot(importance)}


def reliability_plot(y: np.ndarray, score: np.ndarray) -> bytes:
    """Predicted against observed rate by bins of equally many rows, with 95% intervals."""
    table = reliability(y, score)
    predicted, observed = table["predicted"].to_numpy(), table["observed"].to_numpy()
    spread = np.maximum([observed - table["low"].to_numpy(), table["high"].to_numpy() - observed], 0.0)
    title = f"Predicted and observed rates differ by {calibration_error(y, score):.3f} on average"
    figure, axes = _figure(title, "predicted probability", "observed rate")
    top = max(float(table["high"].max() or 0), float(predicted.max())) * 1.05  # type: ignore[arg-type]
    axes.plot([0, top], [0, top], color=GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
    axes.errorbar(
        predicted, observed, yerr=spread, color=BLUE, marker="o", markersize=4, label="tenths of the rows"
    )
    axes.set(xlim=(0, top), ylim=(0, top))
    axes.legend(frameon=False, loc="upper left")
    return _png(figure)


def roc_plot(y: np.ndarray, score: np.ndarray) -> bytes:
    """True against false positive rate over all thresholds."""
    order = np.argsort(-score, kind="stable")
    hits = np.concatenate([[0], np.cumsum(y[order] > 0.5)])
    misses = np.arange(len(hits)) - hits
    ends = np.concatenate([[0], np.flatnonzero(np.diff(score[order])) + 1, [len(y)]])
    keep = np.unique(ends[np.linspace(0, len(ends) - 1, min(len(ends), 400)).astype(int)])
    title = f"Positives rank above negatives in {auc(y, score):.1%} of pairs (AUC)"
    figure, axes = _figure(title, "share of negatives above the threshold", "share of positives above it")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="guessing")
    axes.plot(misses[keep] / max(misses[-1], 1), hits[keep] / max(hits[-1], 1), color=BLUE, label="model")
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.legend(frameon=False, loc="lower right")
    return _png(figure)


def predicted_plot(y: np.ndarray, score: np.ndarray) -> bytes:
    """Where predicted and actual values lie, as counts on a grid cut at the 0.5th and 99.5th percentile."""
    (low, high), (left, right) = (np.quantile(values, (0.005, 0.995)) for values in (y, score))
    inside = (y >= low) & (y <= high) & (score >= left) & (score <= right)
    title = f"Predictions miss by {np.abs(score - y).mean():.3g} on average"
    figure, axes = _figure(title, "predicted", "actual")
    axes.hexbin(score[inside], y[inside], gridsize=40, bins="log", cmap="Blues", mincnt=1, linewidths=0)
    axes.plot([low, high], [low, high], color=GREY, linestyle="--", linewidth=1, label="exact")
    axes.set(xlim=(left, max(right, left + 1e-6)), ylim=(low, max(high, low + 1e-6)))
    axes.legend(frameon=False, loc="upper left")
    return _png(figure)


def residuals_plot(y: np.ndarray, score: np.ndarray) -> bytes:
    """How predicted minus actual is spread, cut at the 0.5th and 99.5th percentile."""
    error = score - y
    low, high = np.quantile(error, (0.005, 0.995))
    word = "high" if error.mean() >= 0 else "low"
    title = f"Predictions are {abs(error.mean()):.3g} too {word} on average (median {np.median(error):.3g})"
    figure, axes = _figure(title, "predicted minus actual (the outermost bars hold the rest)", "rows")
    axes.hist(np.clip(error, low, high), bins=60, color=BLUE)
    axes.axvline(0, color=INK, linewidth=1)
    axes.axvline(error.mean(), color=ORANGE, linewidth=1.5, label="mean")
    axes.legend(frameon=False, loc="upper right")
    return _png(figure)


def importance_plot(importance: Mapping[str, float]) -> bytes:
    """The features with the largest share of the model's gain."""
    top = sorted(importance.items(), key=lambda item: (-item[1], item[0]))[:MOST_BARS][::-1]
    share = sum(value for _, value in top[-3:])
    title = f"Three features carry {share:.0%} of the gain" if len(importance) > 3 else "Share of the gain"
    figure, axes = _figure(title, "share of the model's gain", "")
    axes.barh([_short(name) for name, _ in top], [value for _, value in top], color=BLUE, height=0.7)
    axes.tick_params(axis="y", labelsize=8)
    return _png(figure)


def _figure(title: str, x: str, y: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
    return figure, axes


def _png(figure: Any) -> bytes:
    """Drawn, and cut down to a palette: a quarter of the size, and the eye sees no difference."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = (
        Image.fromarray(np.asarray(canvas.buffer_rgba()))
        .convert("RGB")
        .quantize(64, dither=Image.Dither.NONE)
    )
    buffer = io.BytesIO()
    picture.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def _short(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:30]}…"
