"""Line charts as inline SVG: small and crisp, without a script, a font or a picture of their own."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

Point = tuple[float, float]

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#6a51a3", "#555555")
_WIDTH, _HEIGHT = 400, 232
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 376, 24, 196
_MOST_POINTS, _MOST_DOTS = 300, 40


def line_chart(title: str, lines: Mapping[str, Sequence[Point]], y_label: str, among: Iterable[str] = ()) -> str:
    """A figure with one line a name over the optimizer step, light gridlines, and a legend with the last values.

    Args:
        title: above the chart.
        lines: (step, value) by name, in order of steps. Values that are not finite are left out and counted in the legend.
        y_label: what the values are, with their unit. The axis starts at 0.
        among: all names of charts that are read together, so that a name has one colour in all of them; if empty, those of
            the lines.

    Returns:
        A `<figure>`.
    """
    numbers = {name: number for number, name in enumerate(among or lines)}
    drawn = {name: [point for point in points if math.isfinite(point[1])] for name, points in lines.items()}
    values = [point for points in drawn.values() for point in points] or [(0.0, 0.0)]
    steps, levels = _ticks(max(step for step, _ in values), whole=True), _ticks(max(value for _, value in values))

    def place(point: Point) -> Point:
        step, value = point
        return (
            _LEFT + (_RIGHT - _LEFT) * step / steps[-1],
            _BOTTOM - (_BOTTOM - _TOP) * max(0.0, value) / levels[-1],
        )

    shapes = [_y_tick(place((0, level))[1], level) for level in levels]
    shapes += [_x_tick(place((step, 0))[0], step) for step in steps]
    shapes += [_line(name, numbers[name], points, [place(point) for point in points]) for name, points in drawn.items()]
    legend = [_legend(name, numbers[name], points, len(lines[name])) for name, points in drawn.items()]
    return (
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<text x="2" y="12">{escape(y_label)}</text>{"".join(shapes)}'
        f'<text x="{_RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">optimizer step</text></svg>'
        f'<p class="legend">{"".join(legend)}</p></figure>'
    )


def _ticks(most: float, whole: bool = False) -> list[float]:
    """Round numbers from 0 to at least `most`, six of them at most; whole ones if they count something."""
    most = most if most > 0 else 1.0
    power = 10.0 ** math.floor(math.log10(most / 5))
    widths = (power * factor for factor in (1, 2, 2.5, 5, 10) if not whole or (power * factor).is_integer())
    width = next(width for width in widths if most <= 5 * width * (1 + 1e-9))
    return [number * width for number in range(math.ceil(most / width - 1e-9) + 1)]


def _y_tick(y: float, level: float) -> str:
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{level:g}</text>'
    )


def _x_tick(x: float, step: float) -> str:
    return f'<text x="{x:.1f}" y="{_BOTTOM + 16}" text-anchor="middle">{step:,.10g}</text>'


def _line(name: str, number: int, points: Sequence[Point], places: Sequence[Point]) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in _thinned(places))
    dots = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{_color(number)}">'
        f"<title>{escape(name)}, step {step:,.10g}: {value:.4g}</title></circle>"
        for (step, value), (x, y) in zip(points, places, strict=True)
        if len(points) <= _MOST_DOTS
    ]
    return f'<polyline points="{path}" {_stroke(number)}/>{"".join(dots)}'


def _thinned(places: Sequence[Point]) -> list[Point]:
    """At most so many points as can be seen, each the mean of its neighbours."""
    together = -(-len(places) // _MOST_POINTS) or 1
    groups = [places[start : start + together] for start in range(0, len(places), together)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _legend(name: str, number: int, points: Sequence[Point], logged: int) -> str:
    last = f" <b>{points[-1][1]:.3g}</b>" if points else ""
    lost = f" ({logged - len(points)} not finite)" if logged > len(points) else ""
    swatch = f'<svg viewBox="0 0 18 8" width="18" height="8"><line x1="0" x2="18" y1="4" y2="4" {_stroke(number)}/></svg>'
    return f"<span>{swatch}{escape(name)}{last}{lost}</span> "


def _stroke(number: int) -> str:
    """A colour for each of the first lines; later ones take them again, dashed."""
    dashes = f' stroke-dasharray="{3 * (number // len(COLORS))} 3"' if number >= len(COLORS) else ""
    return f'fill="none" stroke="{_color(number)}" stroke-width="1.8" stroke-linejoin="round"{dashes}'


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]
