"""A picture of the last partitions, as SVG: a number by partition with its interval, what it is held against, promotions and alarms.

Text, not pixels: it takes a millisecond to make, and the same numbers give the same bytes. One form is small enough to stand
in the table of metadata itself, the other has every name and number.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from mlops_assets.ml.scores import defined

INK, BLUE, GREY, ORANGE, GREEN = "#1f2933", "#2563eb", "#9aa5b1", "#d97706", "#15803d"
COLOURS = (ORANGE, GREEN, GREY)
MOST, MOST_SMALL, MOST_NAMED, LINE = 26, 14, 13, 13


@dataclass(frozen=True)
class Point:
    """One partition: its number and interval, the reference of the version that answered, that version, and its alarm.

    None is a number that is not defined; the line has a gap there.
    """

    partition: str
    value: float | None
    low: float | None = None
    high: float | None = None
    reference: float | None = None
    version: int | None = None
    alarm: bool = False


@dataclass(frozen=True)
class Plot:
    """Where partitions and values lie in a picture of `width` by `height` pixels with margins left, right, top and bottom."""

    count: int
    low: float
    high: float
    width: int
    height: int
    margins: tuple[int, int, int, int]

    def x(self, place: float) -> float:
        """Of the partition of that number, from 0."""
        left, right, _, _ = self.margins
        return left + (place + 0.5) / self.count * (self.width - left - right)

    def y(self, value: float) -> float:
        """Of a value."""
        _, _, top, bottom = self.margins
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return self.height - bottom - share * (self.height - top - bottom)


def promotions(points: Sequence[Point]) -> list[tuple[int, int]]:
    """Places at which another version answers than at the newest place before that had one, and that version."""
    changes, before = [], None
    for place, point in enumerate(points):
        if point.version is not None and before not in (None, point.version):
            changes.append((place, point.version))
        before = point.version if point.version is not None else before
    return changes


def picture(points: Sequence[Point], what: str, limits: Mapping[str, float | None]) -> str:
    """SVG of 760 by 300 pixels of the newest partitions; `limits` are named lines across, one that is None is left out."""
    shown = _from_the_first_value(points[-MOST:])
    lines = {name: value for name, value in limits.items() if defined(value) is not None}
    plot = Plot(max(len(shown), 1), *_range(shown, lines), 760, 300, (64, 128, 34, 56))
    parts = [*_frame(plot, what, shown), *_across(plot, lines), *_references(plot, shown)]
    parts += [
        *_labels(plot, lines, shown),
        *_promotions(plot, shown),
        *_values(plot, shown),
        *_alarms(plot, shown),
    ]
    return (
        "<svg xmlns='http://www.w3.org/2000/svg' width='760' height='300' font-family='Arial' font-size='11' fill='none'>"
        f"<rect width='760' height='300' fill='white'/>{''.join(parts)}</svg>"
    )


def small_picture(points: Sequence[Point], what: str, limit: float | None) -> str:
    """SVG of 240 by 96 pixels of the newest partitions, short enough to stand in place: the line, one limit, promotions, alarms."""
    shown = _from_the_first_value(points[-MOST_SMALL:])
    lines = {"": limit} if defined(limit) is not None else {}
    plot = Plot(max(len(shown), 1), *_range(shown, lines), 240, 96, (4, 4, 22, 6))
    path = "".join(_strokes(plot, shown))
    dots = "".join(f"M{plot.x(place):.0f} {plot.y(value):.0f}h0" for place, value in _alarmed(shown))
    marks = "".join(f"M{plot.x(place - 0.5):.0f} 22V90" for place, _ in promotions(shown))
    across = f"M4 {plot.y(limit):.0f}H236" if limit is not None and lines else ""
    return (
        "<svg xmlns='http://www.w3.org/2000/svg' width='240' height='96' font-family='Arial' font-size='11' fill='none'>"
        f"<text y='12' fill='gray'>{escape(_title(what, shown))}</text>"
        f"<path d='{marks}' stroke='green' stroke-dasharray='2'/><path d='{across}' stroke='gray' stroke-dasharray='4'/>"
        f"<path d='{path}' stroke='blue' stroke-width='2'/>"
        f"<path d='{dots}' stroke='red' stroke-width='8' stroke-linecap='round'/></svg>"
    )


def _from_the_first_value(points: Sequence[Point]) -> list[Point]:
    """The points without those before the first number: a model that was not there yet takes no room."""
    first = next((place for place, point in enumerate(points) if point.value is not None), 0)
    return list(points[first:])


def _title(what: str, points: Sequence[Point]) -> str:
    known = [(point.partition, point.value) for point in points if point.value is not None]
    return f"{what} {known[-1][1]:.4g} of {known[-1][0]}" if known else f"{what}: nothing is known yet"


def _range(points: Sequence[Point], lines: Mapping[str, float | None]) -> tuple[float, float]:
    """The lowest and the highest of all that is drawn, with some room."""
    numbers = [n for p in points for n in (p.value, p.low, p.high, p.reference) if n is not None]
    numbers += [value for value in lines.values() if value is not None]
    low, high = min(numbers, default=0.0), max(numbers, default=1.0)
    room = 0.06 * (high - low) or abs(high) * 0.05 or 0.5
    return low - room, high + room


def _strokes(plot: Plot, points: Sequence[Point]) -> Iterator[str]:
    """The line through the values as a path, with a gap where there is none."""
    pen = "M"
    for place, point in enumerate(points):
        if point.value is None:
            pen = "M"
            continue
        yield f"{pen}{plot.x(place):.0f} {plot.y(point.value):.0f}"
        pen = "L"


def _frame(plot: Plot, what: str, points: Sequence[Point]) -> Iterator[str]:
    """Title, axes, the ends of the scale and the names of partitions."""
    left, right, top, bottom = plot.margins
    floor, end = plot.height - bottom, plot.width - right
    yield f"<text x='{left}' y='18' font-size='13' fill='{INK}'>{escape(_title(what, points))}</text>"
    yield f"<path d='M{left} {top}V{floor}H{end}' stroke='{GREY}'/>"
    for value in (plot.low, (plot.low + plot.high) / 2, plot.high):
        y = plot.y(value)
        yield f"<text x='{left - 6}' y='{y + 4:.1f}' text-anchor='end' fill='{INK}'>{value:.4g}</text>"
    step = -(-len(points) // MOST_NAMED) or 1
    for place in range(len(points) - 1, -1, -step):
        x = plot.x(place)
        turned = f"transform='rotate(-35 {x:.1f} {floor + 14})' text-anchor='end'"
        yield f"<text x='{x:.1f}' y='{floor + 14}' {turned} fill='{INK}'>{escape(points[place].partition)}</text>"


def _across(plot: Plot, lines: Mapping[str, float | None]) -> Iterator[str]:
    left, right, _, _ = plot.margins
    for value, colour in zip(lines.values(), COLOURS, strict=False):
        if value is not None:
            strokes = f"M{left} {plot.y(value):.1f}H{plot.width - right}"
            yield f"<path d='{strokes}' stroke='{colour}' stroke-dasharray='6 4'/>"


def _references(plot: Plot, points: Sequence[Point]) -> Iterator[str]:
    """What the version that answered had when it was judged, a short line at each partition."""
    half = (plot.x(1) - plot.x(0)) / 2
    at = [(plot.x(i), plot.y(p.reference)) for i, p in enumerate(points) if p.reference is not None]
    strokes = "".join(f"M{x - half:.1f} {y:.1f}H{x + half:.1f}" for x, y in at)
    yield f"<path d='{strokes}' stroke='{INK}' stroke-opacity='.55'/>"


def _labels(plot: Plot, lines: Mapping[str, float | None], points: Sequence[Point]) -> Iterator[str]:
    """Names of the lines, right of them, each a line of text below the one above it at the least."""
    names = [
        (plot.y(v), f"{n} {v:.4g}", c)
        for (n, v), c in zip(lines.items(), COLOURS, strict=False)
        if v is not None
    ]
    references = [point.reference for point in points if point.reference is not None]
    names += [(plot.y(value), f"when judged {value:.4g}", INK) for value in references[-1:]]
    below = float(plot.margins[2])
    for y, name, colour in sorted(names):
        below = max(y, below + LINE)
        x = plot.width - plot.margins[1] + 6
        yield f"<text x='{x}' y='{below + 4:.1f}' fill='{colour}'>{escape(name)}</text>"


def _promotions(plot: Plot, points: Sequence[Point]) -> Iterator[str]:
    _, _, top, bottom = plot.margins
    for place, version in promotions(points):
        x = plot.x(place - 0.5)
        yield f"<path d='M{x:.1f} {top}V{plot.height - bottom}' stroke='{GREEN}' stroke-dasharray='2 3'/>"
        yield f"<text x='{x + 3:.1f}' y='{top + 9}' fill='{GREEN}'>v{version}</text>"


def _values(plot: Plot, points: Sequence[Point]) -> Iterator[str]:
    spans = [(i, p.low, p.high) for i, p in enumerate(points) if p.low is not None and p.high is not None]
    bars = "".join(f"M{plot.x(i):.1f} {plot.y(low):.1f}V{plot.y(high):.1f}" for i, low, high in spans)
    yield f"<path d='{bars}' stroke='{BLUE}' stroke-opacity='.35' stroke-width='4'/>"
    yield f"<path d='{''.join(_strokes(plot, points))}' stroke='{BLUE}' stroke-width='2'/>"
    known = [(place, point) for place, point in enumerate(points) if point.value is not None]
    for place, point in known:
        x, y = plot.x(place), plot.y(point.value or 0.0)
        yield (
            f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{BLUE}'>"
            f"<title>{escape(point.partition)}: {point.value:.5g}</title></circle>"
        )


def _alarms(plot: Plot, points: Sequence[Point]) -> Iterator[str]:
    for place, value in _alarmed(points):
        x, y = plot.x(place), plot.y(value)
        yield f"<circle cx='{x:.1f}' cy='{y:.1f}' r='7' stroke='{ORANGE}' stroke-width='2.5'/>"


def _alarmed(points: Sequence[Point]) -> list[tuple[int, float]]:
    """Places of the partitions with an alarm, and the value to mark; of one without a number, that of the newest before it."""
    marks, value = [], next((point.value for point in points if point.value is not None), None)
    for place, point in enumerate(points):
        value = point.value if point.value is not None else value
        if point.alarm and value is not None:
            marks.append((place, value))
    return marks
