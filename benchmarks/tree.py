"""What a process and all its descendants use, read from Linux's /proc.

Clocks of processes tick in hundredths of a second; the scheduler's own count, in nanoseconds, does
not. It is per thread, so what a thread used that has ended meanwhile is missing.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

_CALM = 0.3  # seconds without any work: what was begun at the start is done
_PATIENCE = 5.0  # seconds to wait for that


class Memory(NamedTuple):
    """Sums over the processes, in bytes."""

    pss: int
    """Shared pages count by their share."""
    uss: int
    """What would be free if they ended."""


def cpu(pid: int) -> float:
    """Give the seconds of CPU that the threads that live have used so far."""
    nanoseconds = 0
    for task in _tasks(pid):
        with contextlib.suppress(OSError):
            nanoseconds += int((task / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def wake_ups(pid: int) -> int:
    """Count how often the threads that live have gone to sleep by themselves, so far."""
    found = 0
    for task in _tasks(pid):
        with contextlib.suppress(OSError):
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches:"):
                    found += int(line.split()[1])
    return found


def memory(pid: int) -> Memory:
    """Add up the memory."""
    pss = uss = 0
    for each in _family(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name == "Pss":
                    pss += int(rest.split()[0]) * 1024
                elif name in ("Private_Clean", "Private_Dirty"):
                    uss += int(rest.split()[0]) * 1024
    return Memory(pss, uss)


def settle(pid: int) -> None:
    """Wait until they have done no work for a while; one that never rests is taken as it is."""
    deadline = time.monotonic() + _PATIENCE
    before = cpu(pid)
    while time.monotonic() < deadline:
        time.sleep(_CALM)
        after = cpu(pid)
        if after - before < 0.001:  # noqa: PLR2004 - a millisecond: less than any request
            return
        before = after


def _family(pid: int) -> list[int]:
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [pid, *(child.pid for child in children)]


def _tasks(pid: int) -> Iterator[Path]:
    for each in _family(pid):
        with contextlib.suppress(OSError):
            yield from Path(f"/proc/{each}/task").iterdir()
