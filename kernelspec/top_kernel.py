"""What is known of one running kernel. Pure: replies and figures go in, one record comes out.

The record is what ``bulkhead top --json`` prints, field by field: sizes are in bytes, times in
seconds, and what is not known is None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .top_files import printable

if TYPE_CHECKING:
    from .top_files import ConnectionFile
    from .top_processes import Figures
    from .top_servers import Session


@dataclass(frozen=True)
class Cell:
    """The cell that a kernel runs."""

    execution_count: int
    seconds: float
    """How long it has been running."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One running kernel."""

    id: str
    kernel_name: str | None
    """The name of its kernelspec, as the connection file has it."""
    connection_file: str
    bulkhead: bool
    """Whether it is one of ours; only those tell more than a process list does."""
    notebook: str | None = None
    """The path of its notebook on its server."""
    server: str | None = None
    """The address of the Jupyter server that started it."""
    pid: int
    state: str | None = None
    """Ours: starting, idle, busy, none, broken or stopping; others: what their server says."""
    cell: Cell | None = None
    cpu_percent: float | None = None
    """Of one CPU, over all its processes: two busy ones make 200."""
    memory: int | None = None
    """Ours: the worker with its children; others: all processes of the kernel."""
    peak: int | None = None
    """The most that this worker has had."""
    swap: int | None = None
    limit: int | None = None
    uptime: float | None = None
    worker_pid: int | None = None
    worker_uptime: float | None = None
    threads: int | None = None
    children: int | None = None
    """Processes that the worker, or the kernel that is not ours, has started."""
    restarts: dict[str, int] | None = None
    """How many workers have died, by the name of the error."""
    cells: dict[str, int] | None = None
    """How many cells have ended, by their outcome: ok, error, aborted."""
    metrics: str | None = None
    """Where Prometheus finds it."""


def found(file: ConnectionFile, pid: int, *, bulkhead: bool) -> Kernel:
    """Give the record of a kernel of which only the process is known."""
    return Kernel(
        id=printable(file.kernel_id),
        kernel_name=file.kernel_name,
        connection_file=printable(str(file.path)),
        bulkhead=bulkhead,
        pid=pid,
    )


def with_session(kernel: Kernel, session: Session | None) -> Kernel:
    """Add what a server knows: the notebook, and the state, unless the kernel tells itself."""
    if session is None:
        return kernel
    return replace(
        kernel,
        notebook=session.path,
        server=session.server.url,
        state=kernel.state or session.state,
    )


def with_figures(kernel: Kernel, figures: Figures | None, cpu_percent: float | None) -> Kernel:
    """Add what the system knows of the kernel's processes."""
    if figures is None:
        return kernel
    return replace(
        kernel,
        cpu_percent=cpu_percent,
        memory=figures.memory,
        uptime=figures.uptime,
        threads=figures.threads,
        children=len(figures.cpu_seconds) - 1,
    )


def with_reply(kernel: Kernel, content: dict[str, Any]) -> Kernel | None:
    """Add what a kernel of ours says in its usage_reply; None if it says nothing of use.

    The kernel may be of another version than this command: each field may be missing or odd.
    """
    own = content.get("bulkhead")
    if not isinstance(own, dict):
        return None
    return replace(
        kernel,
        state=_text(own.get("state")),
        cell=_cell(own.get("cell")),
        cpu_percent=_number(content.get("kernel_cpu")),
        memory=_whole(own.get("memory")),
        peak=_whole(own.get("peak")),
        swap=_whole(own.get("swap")),
        limit=_whole(own.get("limit")),
        uptime=_number(own.get("uptime")),
        worker_pid=_whole(own.get("worker_pid")),
        worker_uptime=_number(own.get("worker_uptime")),
        threads=_whole(own.get("threads")),
        children=_whole(own.get("children")),
        restarts=_counts(own.get("restarts")),
        cells=_counts(own.get("cells")),
        metrics=_text(own.get("metrics")),
    )


def _text(value: object) -> str | None:
    return printable(value) if isinstance(value, str) else None


def _cell(value: object) -> Cell | None:
    if not isinstance(value, dict):
        return None
    count, seconds = _whole(value.get("execution_count")), _number(value.get("seconds"))
    return None if count is None or seconds is None else Cell(count, seconds)


def _counts(value: object) -> dict[str, int] | None:
    if not isinstance(value, dict):
        return None
    counts = {printable(str(name)): _whole(count) for name, count in value.items()}
    return {name: count for name, count in counts.items() if count is not None}


def _number(value: object) -> float | None:
    """Give a number that can be reckoned with: not negative, not NaN, not endless."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)
