"""What is known of a stretch of the kernel's life, put together for a picture. Pure.

The supervisor's samples show what went on within long cells; the worker's own measurements say
what each cell used, exactly. A gap in which nothing ran is cut short: nobody wants to look at it.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from ..shared.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..shared.samples import Sample
    from .costs import Costs

_GAP = 0.04
"""The part of the picture's width that a cut gap gets."""
_SHORT = 2.0
"""Seconds without a cell that are not cut."""


class Cell(NamedTuple):
    """One cell: from when to when (seconds since the epoch), its number, its peak in bytes."""

    start: float
    end: float
    execution_count: int
    peak: int


class Load(NamedTuple):
    """Processor use between two moments, in percent of one processor."""

    start: float
    end: float
    percent: float


class Recording(NamedTuple):
    """Everything that a picture shows. Times are seconds since the epoch, amounts bytes."""

    memory: tuple[tuple[float, float], ...]
    loads: tuple[Load, ...]
    cells: tuple[Cell, ...]
    deaths: tuple[float, ...]
    limit: int

    @property
    def peak(self) -> float:
        """The most that was seen."""
        return max((*(m for _, m in self.memory), *(cell.peak for cell in self.cells)), default=0)

    @property
    def busiest(self) -> float:
        """The highest processor use."""
        return max((load.percent for load in self.loads), default=0.0)


def record(
    samples: Sequence[Sample], costs: Iterable[Costs], limit: int, since: float
) -> Recording:
    """Put together what happened since then."""
    cells = [cost for cost in costs if cost.began + cost.wall >= since]
    seen = [sample for sample in samples if sample.time >= since]
    points = [(sample.time, sample.memory) for sample in seen]
    for cost in cells:
        points.append((cost.began, float(cost.memory)))
        points.append((cost.began + cost.wall, float(cost.memory + cost.memory_change)))
    return Recording(
        tuple(sorted(points)),
        tuple(sorted((*_sampled(seen), *_measured(cells, seen)), key=lambda load: load.start)),
        tuple(
            Cell(cost.began, cost.began + cost.wall, cost.execution_count, cost.memory_peak)
            for cost in cells
        ),
        tuple(a.time for a, b in pairwise(seen) if a.generation != b.generation),
        limit,
    )


def _sampled(samples: Sequence[Sample]) -> Iterable[Load]:
    for a, b in pairwise(samples):
        if a.number and a.generation == b.generation and b.time > a.time:
            yield Load(a.time, b.time, max(0.0, 100 * (b.cpu - a.cpu) / (b.time - a.time)))


def _measured(costs: Iterable[Costs], samples: Sequence[Sample]) -> Iterable[Load]:
    """Give the processor use of cells that were over before a sample was taken."""
    sampled = Counter(int(sample.number) for sample in samples)
    for cost in costs:
        if sampled[cost.number] < 2 and cost.wall > 0:  # noqa: PLR2004 - a difference takes two
            cpu = cost.cpu_user + cost.cpu_system + cost.cpu_children
            yield Load(cost.began, cost.began + cost.wall, 100 * cpu / cost.wall)


class Axis:
    """Where a moment stands in a picture, from 0 (left) to 1 (right)."""

    def __init__(self, recording: Recording) -> None:
        busy = _merge(
            [
                *((cell.start, cell.end) for cell in recording.cells),
                *((load.start, load.end) for load in recording.loads),
                *((at, at) for at, _ in recording.memory),
            ]
        )
        self.gaps: list[float] = []
        """Where a gap was cut out."""
        width = 1 - _GAP * (len(busy) - 1)
        if width < 0.5:  # noqa: PLR2004 - more gap than picture: cut nothing
            busy, width = [(busy[0][0], busy[-1][1])], 1.0
        length = sum(end - start for start, end in busy)
        self._pieces: list[tuple[float, float, float, float]] = []
        left = 0.0
        for start, end in busy:
            right = left + (width * (end - start) / length if length else width / len(busy))
            self._pieces.append((start, end, left, right))
            if self._pieces[1:]:
                self.gaps.append(left - _GAP / 2)
            left = right + _GAP

    def at(self, moment: float) -> float:
        """Give the place of a moment; in a cut gap, that of its end."""
        for start, end, left, right in self._pieces:
            if moment <= end:
                part = (moment - start) / (end - start) if end > start else 0.5
                return left + max(0.0, part) * (right - left)
        return 1.0


def _merge(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1] + _SHORT:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged or [(0.0, 1.0)]
