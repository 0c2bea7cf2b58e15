"""Write what a run gave: the samples as JSON, the tables, the plot."""

from __future__ import annotations

import json
import statistics
import sys
from typing import TYPE_CHECKING

from . import plot, table
from .results import Results
from .rows import MEASURES, ROWS

if TYPE_CHECKING:
    import argparse

HEADLINES = frozenset({
    "start.info", "start.first", "trip.pass", "cpu.pass", "trip.comm", "prints", "turns",
    "displays", "line", "crash", "memory.pss", "idle.wake_ups",
})  # fmt: skip
"""The measures that README shows."""


def render(options: argparse.Namespace) -> None:
    """Write the reports of an earlier run."""
    write(Results.from_json(json.loads(options.figures.read_text(encoding="utf-8"))), options)


def write(results: Results, options: argparse.Namespace) -> None:
    """Write what the command line asks for; without a file for the tables, they are printed."""
    if getattr(options, "json", None):
        text = json.dumps(results.to_json(), indent=1)
        options.json.write_text(f"{text}\n", encoding="utf-8")
    if options.plot:
        options.plot.write_text(plot.draw(results, MEASURES), encoding="utf-8")
    blocks = {
        "conditions": conditions(results),
        "figures": table.figures(results, ROWS),
        "targets": table.verdicts(results, MEASURES),
    }
    page = "\n\n".join(blocks.values()) + "\n"
    if not options.markdown:
        sys.stdout.write(page)
    blocks["headlines"] = table.figures(results, ROWS, HEADLINES)
    for file in options.markdown:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        for name, block in blocks.items():
            text = table.splice(text, name, block)
        file.write_text(text or page, encoding="utf-8")


def conditions(results: Results) -> str:
    """Say when, on what, and how often was measured."""
    about = results.about
    machine = about["machine"]
    versions = "; ".join(f"{name}: {text}" for name, text in about["versions"].items())
    loads = about["loads"]
    quick = ", quick" if about["quick"] else ""
    return (
        f"Measured on {about['date']}: {machine['cores']} cores ({machine['processor']}),"
        f" {machine['memory'] / 2**30:.0f} GiB, {machine['system']};"
        f" {about['rounds']} rounds{quick}; load average {min(loads):.1f} to {max(loads):.1f}."
        f" {versions}.{_caution(loads, machine['cores'])}"
    )


def _caution(loads: list[float], cores: int) -> str:
    """Warn of figures from a machine that had more to do than a kernel and its client."""
    if statistics.median(loads) <= 2 * cores:
        return ""
    return (
        " **The machine was busy with other programs all the while**: times are too long, most of"
        " all those of kernels that use more than one core."
    )
