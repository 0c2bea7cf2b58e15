"""The figures of a run as tables in Markdown."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from . import stats
from .targets import judge
from .units import digits, figure, spread_figure

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from .results import Cell, Results
    from .rows import Row
    from .rows.row import Measure
    from .targets import Target, Verdict

NOTHING = "-"  # where no figure is, nor any reason


def figures(results: Results, rows: Sequence[Row], keys: Collection[str] = ()) -> str:
    """Give the table: a line for each measure, a column for each kernel, the rows' groups.

    With ``keys``, of these measures only.
    """
    lines = [_line(["", *results.kernels]), _line(["---"] + ["---:"] * len(results.kernels))]
    group = ""
    for row in rows:
        for measure in row.measures:
            if measure.key not in results.cells or (keys and measure.key not in keys):
                continue
            if row.group != group:
                group = row.group
                lines.append(_line([f"**{group}**"] + [""] * len(results.kernels)))
            lines.append(_line([measure.title, *_cells(results, measure)]))
    return "\n".join(lines)


def _cells(results: Results, measure: Measure) -> Iterator[str]:
    reference = results.find(measure.key, results.kernels[0])
    for kernel in results.kernels:
        yield cell(results.find(measure.key, kernel), reference, measure.unit)


def cell(found: Cell, reference: Cell, unit: str) -> str:
    """Give a median, its spread, and after it the ratio to the reference; or what failed."""
    parts = []
    if (median := stats.median(found.samples)) is not None:
        parts.append(spread_figure(median, stats.spread(found.samples), unit))
        ratio = stats.ratio(found.samples, reference.samples)
        if found is not reference and ratio is not None:
            parts.append(times(ratio))
    counted = Counter(found.troubles)
    parts += [text if count == 1 else f"{text} ({count} times)" for text, count in counted.items()]
    return ", ".join(parts) or NOTHING


def verdicts(results: Results, measures: dict[str, Measure]) -> str:
    """Give the table of targets."""
    lines = [_line(["", "target", "found", ""]), _line(["---", "---:", "---:", "---"])]
    for verdict in judge(results):
        measure = measures[verdict.target.measure]
        lines.append(_line([measure.title, *_verdict(verdict, measure.unit)]))
    return "\n".join(lines)


def _verdict(verdict: Verdict, unit: str) -> Iterator[str]:
    target = verdict.target
    sign = "≥" if target.at_least else "≤"
    against = f" {target.against}" if target.against else ""
    yield f"{sign} {_bound(target, target.bound, unit)}{against}"
    yield NOTHING if verdict.found is None else _bound(target, verdict.found, unit)
    yield "met" if verdict.met else "**missed**"


def _bound(target: Target, value: float, unit: str) -> str:
    return times(value) if target.against else figure(value, unit)


def splice(text: str, name: str, block: str) -> str:
    """Put a block between a text's marks ``<!-- NAME -->`` and ``<!-- end of NAME -->``, if any."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        return text
    return f"{before}{begin}\n\n{block}\n\n{end}{after}"


def times(ratio: float) -> str:
    """Give a ratio with two digits that count."""
    return f"{ratio:.2g}x" if ratio < 1 else f"{digits(ratio)}x"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
