"""What a cell uses: time, processor time, memory. Exact, for a spike of a millisecond, too.

The operating system keeps the highest resident memory of a process, and lets the process itself
set that back (``clear_refs``): so the peak of one cell can be told from that of another, without
looking again and again. What was measured so far is also in the ledger; the supervisor tells it of
a cell that did not live to do so.

A file descriptor for each of the two files is kept open: opening them takes longer than reading.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..shared.ledger import Slot
from ..shared.tuples import NamedTuple

if TYPE_CHECKING:
    from ..shared.ledger import Ledger

_HISTORY = 1000  # cells
_RESET_PEAK = b"5"
_PAGE = resource.getpagesize()
_MAXRSS = 1 if sys.platform == "darwin" else 1024  # bytes
# Looked up once: a member of an enumeration takes longer than what is done with it.
_CELL, _CELL_COUNT, _CELL_BEGAN, _CELL_MEMORY = map(
    int, (Slot.CELL, Slot.CELL_COUNT, Slot.CELL_BEGAN, Slot.CELL_MEMORY)
)
_CELL_USER, _CELL_SYSTEM, _CELL_CHILDREN = map(
    int, (Slot.CELL_USER, Slot.CELL_SYSTEM, Slot.CELL_CHILDREN)
)
_PEAK, _OK, _FAILED = map(int, (Slot.PEAK, Slot.OK, Slot.FAILED))
_FAMILY, _FAMILY_PEAK = map(int, (Slot.FAMILY, Slot.FAMILY_PEAK))


class Costs(NamedTuple):
    """What one cell has used. Times in seconds, amounts in bytes."""

    number: int
    execution_count: int
    began: float
    """Since the epoch."""
    wall: float
    cpu_user: float
    cpu_system: float
    cpu_children: float
    """Of children that have ended and were waited for."""
    memory: int
    """Resident when it began."""
    memory_change: int
    memory_peak: int

    def as_json(self) -> dict[str, Any]:
        """Give what goes into the metadata of a reply."""
        return {
            "wall": round(self.wall, 6),
            "cpu_user": round(self.cpu_user, 6),
            "cpu_system": round(self.cpu_system, 6),
            "cpu_children": round(self.cpu_children, 6),
            "memory_peak": self.memory_peak,
            "memory_change": self.memory_change,
        }


class Meter:
    """Measures one cell after the other."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.begin_again()
        self._number = self._count = 0
        self._began = self._started = 0.0
        self._memory = 0
        self._before = _read()
        self.history: deque[Costs] = deque(maxlen=_HISTORY)
        """The cells that have ended, oldest first."""

    def begin_again(self) -> None:
        """Measure this process, for the ledger of the moment."""
        self._slots = self._ledger.slots
        self._statm = _open("/proc/self/statm", os.O_RDONLY)
        self._clear_refs = _open("/proc/self/clear_refs", os.O_WRONLY)
        # Counted here: native code of the user's can run wild over the ledger.
        self._peak = 0
        self._ok = self._failed = 0

    def begin(self, number: int, execution_count: int) -> None:
        """Begin with a cell."""
        self._number, self._count = number, execution_count
        self._reset_peak()
        self._before = before = _read()
        self._memory = memory = self._resident(before)
        self._began, self._started = time.time(), time.perf_counter()
        slots = self._slots
        slots[_CELL_COUNT] = execution_count
        slots[_CELL_BEGAN] = int(self._began * 1e9)
        slots[_CELL_MEMORY] = memory
        slots[_CELL_USER] = int(before.user * 1e6)
        slots[_CELL_SYSTEM] = int(before.system * 1e6)
        slots[_CELL_CHILDREN] = int(before.children * 1e6)
        slots[_CELL] = number

    def so_far(self) -> Costs:
        """Give what the running cell has used until now."""
        wall = time.perf_counter() - self._started
        now, before, slots = _read(), self._before, self._slots
        memory = self._resident(now)
        peak = max(now.peak, memory)
        if slots[_FAMILY] == self._number:  # its children were seen from outside
            peak = max(peak, slots[_FAMILY_PEAK])
        return Costs(
            self._number, self._count, self._began, wall,
            now.user - before.user, now.system - before.system, now.children - before.children,
            self._memory, memory - self._memory, peak,
        )  # fmt: skip

    def end(self, *, ok: bool) -> Costs:
        """End a cell."""
        costs = self.so_far()
        self.history.append(costs)
        slots = self._slots
        self._peak = max(self._peak, costs.memory_peak)
        self._ok += ok
        self._failed += not ok
        slots[_PEAK], slots[_OK], slots[_FAILED] = self._peak, self._ok, self._failed
        slots[_CELL] = 0
        return costs

    def close(self) -> None:
        """Let go of the files (in a forked child, whose they are not)."""
        for fd in (self._statm, self._clear_refs):
            if fd >= 0:
                os.close(fd)
        self._statm = self._clear_refs = -1

    def _reset_peak(self) -> None:
        if self._clear_refs >= 0:
            with suppress(OSError):
                os.pwrite(self._clear_refs, _RESET_PEAK, 0)

    def _resident(self, reading: _Reading) -> int:
        """Give the resident memory; without /proc only the peak of the whole life is known."""
        if self._statm < 0:
            return reading.peak
        return int(os.pread(self._statm, 128, 0).split(None, 2)[1]) * _PAGE


class _Reading(NamedTuple):
    """What the system counts for this process; seconds and bytes."""

    user: float
    system: float
    children: float
    peak: int


def _read() -> _Reading:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return _Reading(
        own.ru_utime,
        own.ru_stime,
        children.ru_utime + children.ru_stime,
        own.ru_maxrss * _MAXRSS,
    )


def _open(path: str, flags: int) -> int:
    try:
        return os.open(path, flags)
    except OSError:  # another system, or a sandbox
        return -1
