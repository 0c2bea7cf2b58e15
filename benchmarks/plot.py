"""The ratios of a run as a plot, in SVG that suits light and dark pages."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from . import stats
from .units import figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .results import Results
    from .rows import Measure

KEYS = (
    "start.info", "start.first", "restart", "trip.pass", "cpu.pass", "trip.sum", "trip.print",
    "trip.comm", "trip.complete", "prints", "turns", "large", "displays", "buffers", "burst",
    "line", "interrupt.loop", "crash", "memory.pss", "memory.numpy.pss",
)  # fmt: skip
"""What is shown, from top to bottom."""

_WIDTH, _LEFT, _RIGHT, _TOP, _STEP = 860, 350, 140, 76, 24  # pixels
_MARGIN = 0.1  # powers of ten beside the outermost points
_STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px } .faint { fill: #656d76 }
.grid { stroke: #d0d7de } .one { stroke: #656d76 }
.k0 { fill: #1a7fca; stroke: #1a7fca } .k1 { fill: #8a8f98; stroke: #8a8f98 }
.k2 { fill: #8250df; stroke: #8250df } .k3 { fill: #1a7f37; stroke: #1a7f37 }
.ours { fill: #d9480f; stroke: #d9480f }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .faint { fill: #9198a1 }
  .grid { stroke: #3d444d } .one { stroke: #9198a1 }
  .k0 { fill: #58a6ff; stroke: #58a6ff } .k1 { fill: #9198a1; stroke: #9198a1 }
  .k2 { fill: #ab7df8; stroke: #ab7df8 } .k3 { fill: #3fb950; stroke: #3fb950 }
  .ours { fill: #ff8c42; stroke: #ff8c42 }
}"""


class Point(NamedTuple):
    """A kernel in a line of the plot."""

    kernel: str
    cost: float
    """Times the reference's; of a rate, the inverse, so that less is always better."""


class Line(NamedTuple):
    """A line of the plot."""

    title: str
    points: list[Point]
    figure: str
    """The last kernel's, in words."""


def lines(results: Results, measures: dict[str, Measure]) -> Iterator[Line]:
    """Choose what is plotted: measures that the reference and the last kernel have."""
    reference, *others = results.kernels
    for key in KEYS:
        measure = measures[key]
        base = results.find(key, reference).samples
        points = []
        for kernel in others:
            ratio = stats.ratio(results.find(key, kernel).samples, base)
            if ratio:
                points.append(Point(kernel, 1 / ratio if measure.more_is_better else ratio))
        last = stats.median(results.find(key, results.kernels[-1]).samples)
        if points and last is not None:
            yield Line(measure.title, points, figure(last, measure.unit))


def draw(results: Results, measures: dict[str, Measure]) -> str:
    """Give the plot as the text of an SVG file."""
    found = list(lines(results, measures))
    costs = [1.0, *(point.cost for line in found for point in line.points)]
    axis = _Axis(min(costs), max(costs))
    height = _TOP + _STEP * len(found) + 12
    parts = [*_legend(results), *axis.grid(height)]
    for at, line in enumerate(found):
        parts += _line(results, line, axis, _TOP + _STEP * at + _STEP // 2)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


class _Axis:
    """Powers of ten and what is between them, from left to right."""

    def __init__(self, low: float, high: float) -> None:
        self._low = math.log10(low) - _MARGIN
        self._high = math.log10(high) + _MARGIN

    def x(self, cost: float) -> float:
        part = (math.log10(cost) - self._low) / (self._high - self._low)
        return _LEFT + part * (_WIDTH - _LEFT - _RIGHT)

    def grid(self, height: int) -> Iterator[str]:
        for power in range(math.ceil(self._low), math.floor(self._high) + 1):
            x = self.x(10.0**power)
            kind = "one" if power == 0 else "grid"
            yield f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{height - 10}"/>'
            yield _text(x, _TOP - 8, f"{10.0**power:g}", "faint", "middle")


def _legend(results: Results) -> Iterator[str]:
    reference, *others = results.kernels
    yield _text(10, 22, f"Cost, as a multiple of {reference}'s: left is better", "title")
    x = _LEFT
    for kernel in others:
        yield f'<circle class="{_kind(results, kernel)}" cx="{x}" cy="43" r="5"/>'
        yield _text(x + 10, 47, kernel)
        x += 30 + 7 * len(kernel)
    yield _text(_WIDTH - 10, _TOP - 8, results.kernels[-1], "faint", "end")


def _line(results: Results, line: Line, axis: _Axis, y: int) -> Iterator[str]:
    yield _text(_LEFT - 14, y + 4, line.title.replace("`", ""), "", "end")
    yield _text(_WIDTH - 10, y + 4, line.figure, "faint", "end")
    for point in line.points:
        kind, x = _kind(results, point.kernel), axis.x(point.cost)
        if point.kernel == results.kernels[-1]:
            yield (
                f'<line class="{kind}" stroke-width="2" x1="{axis.x(1):.1f}" x2="{x:.1f}" '
                f'y1="{y}" y2="{y}"/>'
            )
        title = escape(f"{point.kernel}: {point.cost:.2f}")
        yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y}" r="5"><title>{title}</title></circle>'


def _kind(results: Results, kernel: str) -> str:
    """Give the class of a kernel's marks: the last one is what the plot is about."""
    at = results.kernels.index(kernel)
    return "ours" if at == len(results.kernels) - 1 else f"k{(at - 1) % 4}"


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
