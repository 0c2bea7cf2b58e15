"""``bulkhead run``: read a notebook, execute it, show what became of its cells."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from . import notebook as notebooks
from . import screen
from .errors import CommandError
from .execution import Execution
from .outcomes import NOT_TO_RUN, Outcomes

if TYPE_CHECKING:
    from pathlib import Path


def run(path: Path, output: Path | None, *, allow_errors: bool, timeout: int | None) -> None:
    """Execute a notebook; write it, failed or not, if there is an output.

    Raises CommandError if it cannot be executed, and after all is shown and written if it failed.
    ``timeout`` is in seconds, for each cell.
    """
    notebook = notebooks.read(path)
    if output is not None:
        notebooks.check_writable(output)
    notebooks.forget_outputs(notebook, keep=NOT_TO_RUN)
    outcomes = Outcomes(notebook.cells, allow_errors=allow_errors)
    with screen.progress(len(outcomes)) as begins:
        execution = Execution(notebook, outcomes, begins, timeout)
        asyncio.run(execution.run(path.parent, allow_errors=allow_errors))
    screen.show(outcomes)
    if output is not None:
        notebooks.write(notebook, output)
        print(f"\nThe executed notebook is in {output}")
    for cell in outcomes:
        if cell.failed:
            raise CommandError(f"Cell {cell.number} failed. {cell.failure}")
    if execution.interrupted:
        raise CommandError("The run was interrupted.")
