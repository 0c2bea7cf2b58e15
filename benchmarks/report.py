"""Write what a run gave: the samples as JSON, the tables, the plot."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from . import plot, table
from .results import Results
from .rows import MEASURES, ROWS

if TYPE_CHECKING:
    import argparse


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
    if options.markdown is None:
        sys.stdout.write("\n\n".join(blocks.values()) + "\n")
        return
    text = options.markdown.read_text(encoding="utf-8") if options.markdown.exists() else ""
    if "<!-- figures -->" not in text:
        options.markdown.write_text("\n\n".join(blocks.values()) + "\n", encoding="utf-8")
        return
    for name, block in blocks.items():
        text = table.splice(text, name, block)
    options.markdown.write_text(text, encoding="utf-8")


def conditions(results: Results) -> str:
    """Say when, on what, and how often was measured."""
    about = results.about
    machine = about["machine"]
    versions = "; ".join(f"{name}: {text}" for name, text in about["versions"].items())
    quick = ", quick" if about["quick"] else ""
    return (
        f"Measured on {about['date']}: {machine['cores']} cores ({machine['processor']}),"
        f" {machine['memory'] / 2**30:.0f} GiB, {machine['system']};"
        f" {about['rounds']} rounds{quick}. {versions}."
    )
