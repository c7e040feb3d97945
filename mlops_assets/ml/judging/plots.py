"""Pictures of an evaluation as PNG bytes, 640 pixels wide.

Matplotlib's object interface only: no pyplot, so there is no global state and threads may draw at once. The bytes
carry no date and no version, so the same numbers give the same file.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlops_assets.ml.judging.gate import Verdict
from mlops_assets.ml.judging.guardrails import Criterion
from mlops_assets.ml.judging.metrics import auc, calibration_error, reliability
from mlops_assets.ml.judging.paired import Effect
from mlops_assets.ml.scores import undefined
from mlops_assets.spec.gate import Gate

INK, BLUE, GREY, ORANGE = "#1f2933", "#2563eb", "#9aa5b1", "#d97706"
MOST_BARS = 15
MOST_SLICES, MOST_TICKS = 60, 30


def evaluation_plots(
    y: np.ndarray,
    score: np.ndarray,
    task: str,
    importance: Mapping[str, float],
    champion: np.ndarray | None = None,
) -> dict[str, bytes]:
    """PNG pictures by name: reliability, roc, importance; or predicted_vs_actual, residuals, importance.

    The reliability of the champion's scores on the same rows is drawn beside the challenger's.
    """
    y, score = np.asarray(y, np.float64), np.asarray(score, np.float64)
    if task == "classification":
        pictures = {"reliability": reliability_plot(y, score, champion), "roc": roc_plot(y, score)}
    else:
        pictures = {"predicted_vs_actual": predicted_plot(y, score), "residuals": residuals_plot(y, score)}
    return {**pictures, "importance": importance_plot(importance)} if importance else pictures


def reliability_plot(y: np.ndarray, score: np.ndarray, champion: np.ndarray | None = None) -> bytes:
    """Predicted against observed rate by bins of equally many rows, with 95% intervals; the champion's without."""
    table = reliability(y, score)
    predicted, observed = table["predicted"].to_numpy(), table["observed"].to_numpy()
    spread = np.maximum([observed - table["low"].to_numpy(), table["high"].to_numpy() - observed], 0.0)
    title = f"Predicted and observed rates differ by {calibration_error(y, score):.3f} on average"
    figure, axes = _figure(title, "predicted probability", "observed rate")
    top = max(float(table["high"].max() or 0), float(predicted.max())) * 1.05  # type: ignore[arg-type]
    label = "tenths of the rows" if champion is None else "challenger, tenths of the rows"
    axes.plot([0, top], [0, top], color=GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
    axes.errorbar(predicted, observed, yerr=spread, color=BLUE, marker="o", markersize=4, label=label)
    if champion is not None:
        other = reliability(y, champion)
        axes.plot(
            other["predicted"], other["observed"], color=ORANGE, marker=".", linewidth=1, label="champion"
        )
        top = max(top, float(other["predicted"].max()) * 1.05)  # type: ignore[arg-type]
    axes.set(xlim=(0, top), ylim=(0, top))
    axes.legend(frameon=False, loc="upper left")
    return png(figure)


def roc_plot(y: np.ndarray, score: np.ndarray) -> bytes:
    """True against false positive rate over all thresholds."""
    order = np.argsort(-score, kind="stable")
    hits = np.concatenate([[0], np.cumsum(y[order] > 0.5)])
    misses = np.arange(len(hits)) - hits
    ends = np.concatenate([[0], np.flatnonzero(np.diff(score[order])) + 1, [len(y)]])
    keep = np.unique(ends[np.linspace(0, len(ends) - 1, min(len(ends), 400)).astype(int)])
    area = auc(y, score)
    pairs = undefined("auc") if area is None else f"{area:.1%} of pairs"
    title = f"Positives rank above negatives in {pairs} (AUC)"
    figure, axes = _figure(title, "share of negatives above the threshold", "share of positives above it")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="guessing")
    axes.plot(misses[keep] / max(misses[-1], 1), hits[keep] / max(hits[-1], 1), color=BLUE, label="model")
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.legend(frameon=False, loc="lower right")
    return png(figure)


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
    return png(figure)


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
    return png(figure)


def importance_plot(importance: Mapping[str, float]) -> bytes:
    """The features with the largest share of the model's gain."""
    top = sorted(importance.items(), key=lambda item: (-item[1], item[0]))[:MOST_BARS][::-1]
    share = sum(value for _, value in top[-3:])
    title = f"Three features carry {share:.0%} of the gain" if len(importance) > 3 else "Share of the gain"
    figure, axes = _figure(title, "share of the model's gain", "")
    axes.barh([_short(name) for name, _ in top], [value for _, value in top], color=BLUE, height=0.7)
    axes.tick_params(axis="y", labelsize=8)
    return png(figure)


def evidence_plots(verdict: Verdict, gate: Gate) -> dict[str, bytes]:
    """PNG pictures of a comparison by name: gain_by_cluster and gain_by_slice; none without a champion."""
    slices = verdict.of_kind("slice")
    drawn = {
        f"gain_by_{gate.cluster}": gain_plot(verdict.gains, c.effect, gate)
        for c in verdict.of_kind("evidence")
        if c.effect and c.effect.gain is not None
    }
    return drawn | ({"gain_by_slice": forest_plot(slices, gate)} if _with_intervals(slices, gate) else {})


def _with_intervals(
    slices: Sequence[Criterion], gate: Gate
) -> list[tuple[Criterion, float, tuple[float, float]]]:
    """The slices whose gain and interval are defined, with both."""
    intervals = []
    for criterion in slices:
        if (effect := criterion.effect) is None or effect.gain is None:
            continue
        low, high = effect.interval(gate.alpha)
        if low is not None and high is not None:
            intervals.append((criterion, effect.gain, (low, high)))
    return intervals


def gain_plot(gains: Sequence[Mapping[str, Any]], effect: Effect, gate: Gate) -> bytes:
    """The gain on each cluster's rows as bars, none where it is undefined; that on all rows with its interval as a band."""
    low, high = effect.interval(gate.alpha)
    level = f"{100 * (1 - 2 * gate.alpha):.3g}%"
    span = "undefined" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"
    title = f"Gain in {effect.metric} {effect.gain:+.4f}, {level} interval {span}"
    figure, axes = _figure(title, "", "gain of the challenger (above 0 is better)")
    values = np.array([gain["gain"] for gain in gains], np.float64)
    places = np.arange(len(values))
    axes.bar(places, values, color=[BLUE if v > 0 else ORANGE for v in values], width=0.7)
    if low is not None and high is not None:
        axes.axhspan(low, high, color=GREY, alpha=0.35, linewidth=0, label=f"{level} interval")
    axes.axhline(effect.gain, color=INK, linewidth=1.5, label="all rows")
    axes.axhline(0, color=INK, linewidth=0.5)
    shown = places[:: max(1, len(places) // MOST_TICKS)]
    axes.set_xticks(shown, [str(gains[i]["cluster"]) for i in shown], rotation=60, ha="right", fontsize=8)
    axes.legend(frameon=False)
    return png(figure)


def forest_plot(slices: Sequence[Criterion], gate: Gate) -> bytes:
    """The gain on each slice with its interval, not corrected for the number of slices; those that fail are marked."""
    known = _with_intervals(slices, gate)
    worst = sorted(known, key=lambda one: (one[1], one[0].name))[:MOST_SLICES][::-1]
    better, failed = sum(gain > 0 for _, gain, _ in known), sum(not c.passes for c, _, _ in known)
    title = f"{better} of {len(known)} slices are better, {failed} shown to be worse"
    figure, axes = _figure(title, f"gain in {gate.metric} (above 0 is better)", "", 1.0 + 0.18 * len(worst))
    low, high = np.transpose([interval for _, _, interval in worst])
    places, colours = np.arange(len(worst)), [BLUE if c.passes else ORANGE for c, _, _ in worst]
    axes.hlines(places, low, high, color=GREY, linewidth=2)
    axes.scatter([gain for _, gain, _ in worst], places, c=colours, s=18, zorder=3)
    axes.axvline(0, color=INK, linewidth=0.5)
    if gate.guards.slice_tolerance:
        axes.axvline(-gate.guards.slice_tolerance, color=ORANGE, linestyle="--", linewidth=1)
    axes.set_yticks(places, [_short(c.name) for c, _, _ in worst], fontsize=8)
    axes.set_ylim(-0.6, len(worst) - 0.4)
    return png(figure)


def _figure(title: str, x: str, y: str, height: float = 4.0) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, height), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
    return figure, axes


def png(figure: Any) -> bytes:
    """The figure drawn, and cut down to a palette: a quarter of the size, and the eye sees no difference."""
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
