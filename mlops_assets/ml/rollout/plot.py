"""The time line of a roll-out as a picture: which share of the requests the version had, and what happened when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mlops_assets.ml.judging.plots import BLUE, GREY, INK, ORANGE, png


@dataclass(frozen=True)
class Mark:
    """A transition: when it was, what it was, and the share of the requests from then on."""

    moment: datetime
    kind: str
    share: float


def timeline(marks: Sequence[Mark], now: datetime, title: str) -> bytes:
    """PNG, 640 pixels wide: the share over time as steps, transitions marked; needs at least one."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.6), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    end = max(now, marks[-1].moment)
    times = [float(date2num(moment)) for moment in (*(mark.moment for mark in marks), end)]
    shares = [100 * share for share in (*(mark.share for mark in marks), marks[-1].share)]
    axes.fill_between(times, shares, step="post", color=BLUE, alpha=0.15)
    axes.step(times, shares, where="post", color=BLUE, linewidth=1.5)
    for time, share, mark in zip(times, shares, marks, strict=False):
        bad = mark.kind in ("rolled_back", "aborted")
        axes.plot(time, share, marker="o", markersize=4, color=ORANGE if bad else INK)
        axes.annotate(
            mark.kind.replace("_", " "),
            (time, share),
            textcoords="offset points",
            xytext=(3, 5),
            fontsize=8,
            color=ORANGE if bad else INK,
        )
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_ylabel("% of requests", color=INK, fontsize=9)
    axes.set_ylim(-4, 118)
    locator = AutoDateLocator(maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.axhline(100, color=GREY, linewidth=0.8, linestyle="--")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)
    return png(figure)
