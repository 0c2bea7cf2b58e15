"""``bulkhead top``: which kernels of this user run, and what they use.

Once as a table or as JSON, or live, until somebody has seen enough. The live view is made with
Textual, which is not installed with the kernel; a notebook server needs none.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_core.paths import jupyter_runtime_dir

from . import top_table, top_view
from .errors import CommandError
from .top_kernels import Kernels

if TYPE_CHECKING:
    from .top_kernels import Look

MEASURE = 0.5
"""Seconds between two looks at what has been used: a percentage of time needs a time."""


def top(*, once: bool, as_json: bool, interval: float) -> None:
    """Show the kernels. Raises CommandError if the live view cannot be shown.

    ``interval`` is in seconds, from one look of the live view to the next.
    """
    folder = Path(jupyter_runtime_dir())
    if as_json:
        kernels = top_view.in_order(asyncio.run(_look(folder)).kernels, top_view.Order("name"))
        print(json.dumps([asdict(kernel) for kernel in kernels], indent=2))
    elif once:
        top_table.show(asyncio.run(_look(folder)))
    else:
        _live(folder, interval)


async def _look(folder: Path) -> Look:
    with Kernels(folder) as kernels:
        if (await kernels.look()).kernels:
            await asyncio.sleep(MEASURE)
        return await kernels.look()


def _live(folder: Path, interval: float) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandError(
            "The live view needs a terminal, and this is none. "
            "`bulkhead top --once` prints a table, and `--json` prints JSON."
        )
    try:
        from .top_app import Top  # noqa: PLC0415 - Textual need not be installed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        raise CommandError(
            "The live view needs Textual, which is not installed. "
            '`pip install "bulkhead-kernel[top]"` installs it; '
            "`bulkhead top --once` works without it."
        ) from None
    with Kernels(folder) as kernels:
        Top(kernels, interval).run()
