"""The picture of a search: every trial with the best so far above, what each parameter did to the score below."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlops_assets.ml.judging.metrics import goodness
from mlops_assets.ml.judging.plots import BLUE, GREY, INK, ORANGE, png
from mlops_assets.ml.tuning.proposals import Space
from mlops_assets.ml.tuning.trials import Trial, better
from mlops_assets.spec.search import Choices, Range

MOST_PARAMETERS = 6
COLUMNS = 3
SPREAD, FARTHEST = 4.0, 12.0
"""Scores further from the median than so many times its distance to the best would flatten the rest: drawn at the
edge. The spec's own may lie further off than others."""


def search_plot(trials: Sequence[Trial], metric: str, space: Space, importance: Mapping[str, float]) -> bytes:
    """PNG, 640 pixels wide: trials by number over strips of the parameters that mattered most; needs a finished trial."""
    from matplotlib.figure import Figure

    shown = sorted(space, key=lambda name: -importance.get(name, 0.0))[:MOST_PARAMETERS]
    rows = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(6.4, 3.2 + 1.9 * rows), dpi=100, layout="constrained")
    grid = figure.add_gridspec(1 + rows, COLUMNS, height_ratios=[1.6, *[1.0] * rows])
    limits = score_limits(trials, metric)
    _history(figure.add_subplot(grid[0, :]), trials, metric, limits)
    for i, name in enumerate(shown):
        axes = figure.add_subplot(grid[1 + i // COLUMNS, i % COLUMNS])
        _strip(axes, trials, metric, name, space[name], limits)
        share = f", {importance[name]:.0%}" if name in importance else ""
        axes.set_title(f"{name}{share}", loc="left", fontsize=9, color=INK)
        axes.tick_params(labelleft=i % COLUMNS == 0)
    return png(figure)


def score_limits(trials: Sequence[Trial], metric: str) -> tuple[float, float]:
    """The span of scores that is drawn: the best half of the finished trials in full, of the rest what is not far off.

    A trial that was stopped is drawn at the edge: its score is that of a model that is not done.
    """
    scores = np.array([t.score for t in trials if t.state == "finished" and t.score is not None])
    order = scores[np.argsort(-goodness(metric, scores))]
    best, middle = float(order[0]), float(np.median(order))
    reach = abs(middle - best) or 1e-6
    inside = order[np.abs(order - middle) <= SPREAD * reach]
    own = scores[:1][np.abs(scores[:1] - middle) <= FARTHEST * reach]
    low, high = (float(end(np.append(inside, own))) for end in (np.min, np.max))
    edge = 0.08 * (high - low) or 1e-6
    return low - edge, high + edge


def _history(axes: Any, trials: Sequence[Trial], metric: str, limits: tuple[float, float]) -> None:
    winner, own = better(metric, trials)[0], trials[0]
    assert winner.score is not None and own.score is not None
    gain = float(goodness(metric, winner.score) - goodness(metric, own.score))
    title = (
        f"{metric} {winner.score:.4f} by trial {winner.number}, {gain:.4f} better than the spec's own parameters"
        if winner.number
        else f"No trial beats the spec's own parameters: {metric} {own.score:.4f}"
    )
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    for state, colour, marker, label in (
        ("finished", BLUE, "o", "finished"),
        ("stopped", GREY, "x", "stopped early by ASHA"),
    ):
        some = [t for t in trials if t.state == state and t.score is not None]
        if some:
            scores = np.clip([t.score for t in some if t.score is not None], *limits)
            axes.scatter(
                [t.number for t in some], scores, c=colour, marker=marker, s=18, label=label, clip_on=False
            )
    numbers, so_far = _best_so_far(trials, metric)
    axes.step(numbers, so_far, where="post", color=ORANGE, linewidth=1.5, label="best so far")
    axes.axhline(own.score, color=GREY, linestyle="--", linewidth=1, label="the spec's own")
    axes.set_ylim(*limits)
    axes.set_xlabel("trial", color=INK)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper left", bbox_to_anchor=(-0.02, -0.16))
    _plain(axes)


def _best_so_far(trials: Sequence[Trial], metric: str) -> tuple[list[int], list[float]]:
    best = [(trial.number, better(metric, trials[: i + 1])[:1]) for i, trial in enumerate(trials)]
    known = [(number, first[0].score) for number, first in best if first and first[0].score is not None]
    return [number for number, _ in known], [score for _, score in known]


def _strip(
    axes: Any,
    trials: Sequence[Trial],
    metric: str,
    name: str,
    dimension: Range | Choices,
    limits: tuple[float, float],
) -> None:
    """The trials' scores by one parameter: the winner marked, those that were stopped at the edge."""
    inside = [t for t in trials if t.score is not None and dimension.holds(t.parameters.get(name))]
    values = [_place(dimension, t.parameters[name]) for t in inside]
    scores = np.clip([t.score for t in inside if t.score is not None], *limits)
    winner = better(metric, trials)[0]
    for chosen, colour, marker, size in (
        ([t.state == "stopped" for t in inside], GREY, "x", 10),
        ([t.state == "finished" for t in inside], BLUE, "o", 12),
        ([t is winner for t in inside], ORANGE, "o", 34),
    ):
        where = np.flatnonzero(chosen)
        axes.scatter(np.array(values)[where], scores[where], c=colour, marker=marker, s=size, clip_on=False)
    _scale(axes, dimension)
    axes.set_ylim(*limits)
    _plain(axes)


def _place(dimension: Range | Choices, value: Any) -> float:
    return dimension.choices.index(value) if isinstance(dimension, Choices) else value


def _scale(axes: Any, dimension: Range | Choices) -> None:
    """The whole of the dimension, whatever of it was tried."""
    if isinstance(dimension, Choices):
        labels = [str(choice)[:14] for choice in dimension.choices]
        axes.set_xticks(range(len(labels)), labels, rotation=20, ha="right")
        axes.set_xlim(-0.5, len(labels) - 0.5)
        return
    low, high = dimension.low, dimension.high
    if dimension.log:
        axes.set_xscale("log")
        ticks = [low, float(np.sqrt(low * high)), high]
        axes.set_xticks(ticks, [f"{float(f'{tick:.2g}'):g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlim(low * (low / high) ** 0.04, high * (high / low) ** 0.04)
    else:
        axes.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=7)
