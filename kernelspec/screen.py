"""What a person sees of a run: its progress, then a table of the cells, then the errors.

On a terminal the progress is a bar that vanishes. Elsewhere (a log of a nightly run) each cell is
a line, written when the cell begins, so that a log of a run that hangs ends with the cell to blame.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ..shared import sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .outcomes import Outcome, Outcomes

STYLES = {"ok": "green", "not run": "dim", "skipped": "dim"}


@contextmanager
def progress(total: int) -> Iterator[Callable[[Outcome], None]]:
    """Show how far a run is. Gives what is to be called when a cell begins."""
    if not sys.stdout.isatty():
        yield lambda cell: print(f"cell {cell.number} of {total}: {cell.line}", flush=True)
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("the kernel starts", total=total)
        yield lambda cell: bar.update(task, completed=cell.number - 1, description=cell.line)


def show(outcomes: Outcomes) -> None:
    """Print the table of the cells, and after it the errors in full."""
    if not len(outcomes):
        print("The notebook has no code.")
        return
    console = Console(highlight=False)
    table = Table()
    table.add_column("Cell", justify="right", no_wrap=True)
    table.add_column("Code")  # the only one that may be cut
    table.add_column("Outcome", no_wrap=True)
    for title in ("Wall", "CPU", "Memory"):
        table.add_column(title, justify="right", no_wrap=True)
    for cell in outcomes:
        code = Text(cell.line, no_wrap=True, overflow="ellipsis")
        table.add_row(str(cell.number), code, Text(str(cell), _style(cell)), *_costs(cell))
    console.print(table)
    for cell in outcomes:
        if cell.failure is not None:
            console.print(Text(f"\nCell {cell.number}: {cell}", "bold"), soft_wrap=True)
            console.print(Text.from_ansi(cell.failure.report), soft_wrap=True)


def _style(cell: Outcome) -> str:
    if cell.failure is None:
        return STYLES[cell.state]
    return "red" if cell.failed else "yellow"


def _costs(cell: Outcome) -> tuple[str, str, str]:
    used = cell.resources or {}
    wall = used.get("wall", cell.seconds)
    cpu = [used[f"cpu_{part}"] for part in ("user", "system", "children") if f"cpu_{part}" in used]
    peak = used.get("memory_peak")
    return (
        "" if wall is None else f"{wall:.2f} s",
        f"{sum(cpu):.2f} s" if cpu else "",
        "" if peak is None else sizes.show(peak),
    )
