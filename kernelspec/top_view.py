"""What is shown of kernels: texts, their order, and a line of memory. Pure.

What is not known is a dash. Sizes are as in the reports of the kernel: MiB below a GiB.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .top_kernel import Kernel
    from .top_kernels import Look

UNKNOWN = "–"  # noqa: RUF001 - a dash that is as wide as a digit
BLOCKS = "▁▂▃▄▅▆▇█"
SAMPLES = 16
"""How many of the last samples of memory are shown."""
SHORT_ID = 8
MINUTE, HOUR, DAY = 60, 3600, 86_400
TIGHT, FULL = 0.75, 0.9
"""Parts of the limit from which on memory is worth a look, and a worry."""


class Order(NamedTuple):
    """What kernels are sorted by."""

    by: str
    upside_down: bool = False


_NATURAL: dict[str, tuple[Callable[[Kernel], float | str | None], bool]] = {
    "name": (lambda kernel: name(kernel).casefold(), False),
    "cpu": (lambda kernel: kernel.cpu_percent, True),
    "memory": (lambda kernel: kernel.memory, True),
    "uptime": (lambda kernel: kernel.uptime, True),
}
"""What can be sorted by, and whether the largest comes first."""


def in_order(kernels: Iterable[Kernel], order: Order) -> list[Kernel]:
    """Sort kernels. Those of which it is not known come last; equal ones keep one order."""
    value, largest_first = _NATURAL[order.by]
    ties = sorted(kernels, key=lambda kernel: (name(kernel).casefold(), kernel.connection_file))
    known = [kernel for kernel in ties if value(kernel) is not None]
    unknown = [kernel for kernel in ties if value(kernel) is None]
    known.sort(key=lambda kernel: value(kernel) or 0, reverse=largest_first != order.upside_down)
    return known + unknown


class History:
    """The last samples of each kernel's memory, by its connection file."""

    def __init__(self, length: int = SAMPLES) -> None:
        self._length = length
        self._samples: dict[str, deque[int | None]] = {}

    def add(self, kernels: Iterable[Kernel]) -> None:
        """Take a sample of all kernels; those that are gone are forgotten."""
        before, self._samples = self._samples, {}
        for kernel in kernels:
            samples = before.get(kernel.connection_file, deque(maxlen=self._length))
            samples.append(kernel.memory)
            self._samples[kernel.connection_file] = samples

    def line(self, kernel: Kernel) -> str:
        """Give the samples of one kernel as a line of blocks."""
        return sparkline(self._samples.get(kernel.connection_file, ())).rjust(self._length)


def sparkline(values: Sequence[float | None] | deque[int | None]) -> str:
    """Give one block a value: from nothing to the largest of them. A space is not known."""
    top = max((value for value in values if value is not None), default=0)
    return "".join(" " if value is None else BLOCKS[_height(value, top)] for value in values)


def _height(value: float, top: float) -> int:
    return min(len(BLOCKS) - 1, int(len(BLOCKS) * value / top)) if top > 0 else 0


def name(kernel: Kernel) -> str:
    """Give what a person knows a kernel by: its notebook, else the begin of its id."""
    return kernel.notebook or kernel.id[:SHORT_ID]


def size(count: int | None) -> str:
    """Give a number of bytes as people read it."""
    if count is None:
        return UNKNOWN
    mebibytes = count / (1 << 20)
    return f"{mebibytes / 1024:.1f} GiB" if mebibytes >= 1024 else f"{mebibytes:.0f} MiB"  # noqa: PLR2004


def duration(seconds: float | None) -> str:
    """Give a time by its two largest units."""
    if seconds is None:
        return UNKNOWN
    whole = int(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def percent(value: float | None) -> str:
    """Give a percentage without decimals."""
    return UNKNOWN if value is None else f"{value:.0f} %"


def cell(kernel: Kernel) -> str:
    """Give the cell that runs, and for how long it has."""
    if kernel.cell is None:
        return UNKNOWN if kernel.state in {None, "busy"} else ""
    return f"[{kernel.cell.execution_count}] {duration(kernel.cell.seconds)}"


def restarts(kernel: Kernel) -> str:
    """Give how many workers have died."""
    return UNKNOWN if kernel.restarts is None else str(sum(kernel.restarts.values()))


def tightness(kernel: Kernel) -> str:
    """Give how near the memory is to its limit: '', 'tight' or 'full'."""
    if not kernel.limit or kernel.memory is None:
        return ""
    part = kernel.memory / kernel.limit
    return "full" if part >= FULL else "tight" if part >= TIGHT else ""


def details(kernel: Kernel) -> str:
    """Give what the table has no room for, in two lines."""
    told = [f"{kernel.kernel_name or 'unnamed'} kernel {kernel.id}, pid {kernel.pid}"]
    if kernel.server:
        told.append(f"of the server at {kernel.server}")
    if kernel.worker_pid is not None:
        told.append(f"interpreter: pid {kernel.worker_pid}, up {duration(kernel.worker_uptime)}")
    return ", ".join(told) + "\n" + ", ".join(_counted(kernel))


def _counted(kernel: Kernel) -> list[str]:
    told = []
    if kernel.threads is not None:
        told.append(f"{kernel.threads} {'thread' if kernel.threads == 1 else 'threads'}")
    if kernel.children:
        told.append(f"{kernel.children} {'child' if kernel.children == 1 else 'children'}")
    if kernel.swap:
        told.append(f"{size(kernel.swap)} in swap")
    if kernel.cells:
        told.append("cells: " + ", ".join(f"{n} {name}" for name, n in kernel.cells.items()))
    if kernel.restarts:
        told.append("deaths: " + ", ".join(f"{n} {name}" for name, n in kernel.restarts.items()))
    return told


def summary(look: Look) -> str:
    """Give one line about all kernels."""
    known = [kernel.memory for kernel in look.kernels if kernel.memory is not None]
    total = f", {size(sum(known))} of memory together" if known else ""
    return f"{_kernels(len(look.kernels))}{total}{stale(look)}"


def stale(look: Look) -> str:
    """Give a remark on connection files that nobody listens at any more."""
    if not look.stale:
        return ""
    return f"; {look.stale} connection {'file' if look.stale == 1 else 'files'} without a kernel"


def _kernels(count: int) -> str:
    return f"{count} {'kernel' if count == 1 else 'kernels'}"


NOBODY = "No kernel of yours is running."
