"""A recording as a picture: SVG for a notebook, a line of blocks for a terminal. Pure.

The text takes its colour from whatever surrounds it, and the curves have colours that stand out
from white as well as from black, so the picture needs to know nothing of the frontend's theme.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..shared import sizes
from .recording import Axis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .recording import Recording

_WIDTH, _LEFT, _RIGHT = 720, 76, 12
_TOP, _MEMORY, _BETWEEN, _CPU = 22, 130, 14, 46
_HEIGHT = _TOP + _MEMORY + _BETWEEN + _CPU + 24
_ROOM = 1.12  # above the highest point
_BLOCKS = "▁▂▃▄▅▆▇█"
_SLOTS = 40  # characters of a line of blocks
_SPIKE = 1.03  # times what the samples have seen of a cell: a peak that is worth a line
_NEAR = 0.5  # of its limit that the memory must have reached for the axis to reach up to it

_BLUE, _AMBER, _RED, _GREY = "#3b82f6", "#f59e0b", "#ef4444", "#8b95a5"


def html(recording: Recording, title: str) -> str:
    """Draw it."""
    if not recording.memory:
        return "<i>Nothing has run yet.</i>"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{_escaped(title)}" '
        f'style="width:100%;max-width:{_WIDTH}px;height:auto;display:block;color:inherit" '
        'font-family="system-ui,sans-serif" font-size="11" fill="currentColor">'
        + "".join(_drawn(recording, title))
        + "</svg>"
    )


def text(recording: Recording, title: str) -> str:
    """Tell it in two lines."""
    if not recording.memory:
        return "Nothing has run yet."
    axis = Axis(recording)
    memory, cpu = [0.0] * _SLOTS, [0.0] * _SLOTS
    last = recording.memory[0][1]
    points = {_slot(axis.at(at)): m for at, m in recording.memory}
    for slot in range(_SLOTS):
        memory[slot] = last = points.get(slot, last)
    for cell in recording.cells:
        slot = _slot(axis.at((cell.start + cell.end) / 2))
        memory[slot] = max(memory[slot], cell.peak)
    for load in recording.loads:
        for slot in range(_slot(axis.at(load.start)), _slot(axis.at(load.end)) + 1):
            cpu[slot] = max(cpu[slot], load.percent)
    limit = f", limit {sizes.show(recording.limit)}" if recording.limit else ""
    now = sizes.show(recording.memory[-1][1])
    return (
        f"{title}\n"
        f"memory    {_blocks(memory, recording.peak or 1.0)}  {now}, "
        f"peak {sizes.show(recording.peak)}{limit}\n"
        f"processor {_blocks(cpu, max(100.0, recording.busiest))}  up to {recording.busiest:.0f} %"
    )


def _slot(place: float) -> int:
    return min(_SLOTS - 1, int(place * _SLOTS))


def _blocks(values: list[float], top: float) -> str:
    last = len(_BLOCKS) - 1
    return "".join(_BLOCKS[min(last, int(value / top * last + 0.5))] for value in values)


def _drawn(recording: Recording, title: str) -> Iterator[str]:
    axis = Axis(recording)
    inner = _WIDTH - _LEFT - _RIGHT
    peak, limit = recording.peak, recording.limit
    top = max(peak, limit if peak > _NEAR * limit else 0) * _ROOM or 1.0
    cpu_top = max(100.0, recording.busiest)
    floor, cpu_floor = _TOP + _MEMORY, _TOP + _MEMORY + _BETWEEN + _CPU

    def x(moment: float) -> str:
        return f"{_LEFT + axis.at(moment) * inner:.1f}"

    def y(memory: float) -> str:
        return f"{floor - memory / top * _MEMORY:.1f}"

    yield _label(_LEFT, 13, title, weight="600")
    yield from _cells(recording, x, cpu_floor)
    yield from _frame(floor, cpu_floor, cpu_top)
    points = [f"{x(at)},{y(memory)}" for at, memory in recording.memory]
    first, last = x(recording.memory[0][0]), x(recording.memory[-1][0])
    area = f"{first},{floor} {' '.join(points)} {last},{floor}"
    yield f'<polygon points="{area}" fill="{_BLUE}" fill-opacity="0.18"/>'
    line = f'fill="none" stroke="{_BLUE}" stroke-width="1.8" stroke-linejoin="round"'
    yield f'<polyline points="{" ".join(points)}" {line}/>'
    for cell in recording.cells:
        seen = [memory for at, memory in recording.memory if cell.start <= at <= cell.end]
        if cell.peak < _SPIKE * max(seen, default=0):
            continue
        # No sample has met this one, so that it was there is all that is known.
        middle = x((cell.start + cell.end) / 2)
        ends = f'x1="{middle}" x2="{middle}" y1="{floor}" y2="{y(cell.peak)}"'
        yield f'<line {ends} stroke="{_BLUE}" stroke-width="1" stroke-opacity="0.55"/>'
    for load in recording.loads:
        height = load.percent / cpu_top * _CPU
        left, right = float(x(load.start)), float(x(load.end))
        size = f'width="{max(0.8, right - left):.1f}" height="{height:.1f}"'
        place = f'x="{left}" y="{cpu_floor - height:.1f}"'
        yield f'<rect {place} {size} fill="{_AMBER}" fill-opacity="0.75"/>'
    yield from _level(y(peak), f"peak {sizes.show(peak)}", _BLUE)
    if limit and peak > _NEAR * limit:
        yield from _level(y(limit), f"limit {sizes.show(limit)}", _RED)
    elif limit:
        yield _label(_WIDTH - _RIGHT, 13, f"limit {sizes.show(limit)}", anchor="end", fill=_RED)
    for gap in axis.gaps:
        yield _label(_LEFT + gap * inner, floor - 4, "⋯", anchor="middle", fill=_GREY)
    for death in recording.deaths:
        ends = f'x1="{x(death)}" x2="{x(death)}" y1="{_TOP}" y2="{cpu_floor}"'
        yield f'<line {ends} stroke="{_RED}" stroke-width="1.2" stroke-dasharray="4 3"/>'
        yield _label(float(x(death)) + 3, _TOP + 10, "died", fill=_RED)


def _frame(floor: int, cpu_floor: int, cpu_top: float) -> Iterator[str]:
    for bottom in (floor, cpu_floor):
        ends = f'x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}"'
        yield f'<line {ends} stroke="{_GREY}" stroke-width="1"/>'
    yield _label(_LEFT - 8, floor, "memory", anchor="end", fill=_BLUE)
    yield _label(_LEFT - 8, cpu_floor, "processor", anchor="end", fill=_AMBER)
    yield _label(_LEFT - 8, cpu_floor - _CPU + 9, f"{cpu_top:.0f} %", anchor="end")


def _cells(recording: Recording, x: _Place, bottom: int) -> Iterator[str]:
    """Shade every other cell, and number those that are wide enough for it."""
    free = 0.0
    for index, cell in enumerate(recording.cells):
        left, right = float(x(cell.start)), float(x(cell.end))
        if index % 2 == 0:
            size = f'width="{max(1.0, right - left):.1f}" height="{bottom - _TOP}"'
            yield f'<rect x="{left}" y="{_TOP}" {size} fill="{_GREY}" fill-opacity="0.13"/>'
        label = f"[{cell.execution_count}]"
        middle, room = (left + right) / 2, 3.2 * len(label)
        if middle - room > free and middle + room < _WIDTH:
            yield _label(middle, bottom + 14, label, anchor="middle")
            free = middle + room


def _level(height: str, words: str, colour: str) -> Iterator[str]:
    ends = f'x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height}" y2="{height}"'
    yield f'<line {ends} stroke="{colour}" stroke-width="1" stroke-dasharray="3 3"/>'
    kind, _, size = words.partition(" ")
    yield _label(_LEFT - 8, float(height) + 3, size, anchor="end", fill=colour)
    yield _label(_WIDTH - _RIGHT, float(height) - 3, kind, anchor="end", fill=colour)


def _label(
    x: float, y: float, words: str, *, anchor: str = "start", fill: str = "", weight: str = ""
) -> str:
    look = (f' fill="{fill}"' if fill else "") + (f' font-weight="{weight}"' if weight else "")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{look}>{_escaped(words)}</text>'


def _escaped(words: str) -> str:
    # Not html.escape: its module holds the names of all characters, and every start would wait.
    for character, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        words = words.replace(character, name)
    return words


if TYPE_CHECKING:
    from collections.abc import Callable

    _Place = Callable[[float], str]
