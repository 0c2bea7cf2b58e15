"""What a cell uses: time, processor time, memory. Exact, for a spike of a millisecond, too.

The operating system keeps the highest resident memory of a process, and lets the process itself
set that back (``clear_refs``): so the peak of one cell can be told from that of another, without
looking again and again. What was measured so far is also in the ledger; the supervisor tells it of
a cell that did not live to do so.

A file descriptor for each of the three files is kept open: opening them takes longer than reading.
"""

from __future__ import annotations

import os
import resource
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..shared.ledger import Slot

if TYPE_CHECKING:
    from ..shared.ledger import Ledger

_HISTORY = 1000  # cells
_RESET_PEAK = b"5"
_PAGE = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Costs:
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
        self._statm = _open("/proc/self/statm", os.O_RDONLY)
        self._status = _open("/proc/self/status", os.O_RDONLY)
        self._clear_refs = _open("/proc/self/clear_refs", os.O_WRONLY)
        self._number = self._count = 0
        self._began = self._started = 0.0
        self._memory = 0
        self._before: tuple[float, float, float] = (0.0, 0.0, 0.0)
        # Counted here: native code of the user's can run wild over the ledger.
        self._peak = 0
        self._outcomes = {Slot.OK: 0, Slot.FAILED: 0}
        self.history: deque[Costs] = deque(maxlen=_HISTORY)
        """The cells that have ended, oldest first."""

    def begin(self, number: int, execution_count: int) -> None:
        """Begin with a cell."""
        self._number, self._count = number, execution_count
        self._reset_peak()
        self._memory = self._resident()
        self._before = _cpu()
        self._began, self._started = time.time(), time.perf_counter()
        ledger = self._ledger
        ledger[Slot.CELL_COUNT] = execution_count
        ledger[Slot.CELL_BEGAN] = int(self._began * 1e9)
        ledger[Slot.CELL_MEMORY] = self._memory
        user, system, children = self._before
        ledger[Slot.CELL_USER] = int(user * 1e6)
        ledger[Slot.CELL_SYSTEM] = int(system * 1e6)
        ledger[Slot.CELL_CHILDREN] = int(children * 1e6)
        ledger[Slot.CELL] = number

    def so_far(self) -> Costs:
        """Give what the running cell has used until now."""
        wall = time.perf_counter() - self._started
        user, system, children = map(float.__sub__, _cpu(), self._before)
        peak, memory = self._peak_and_memory()
        ledger = self._ledger
        if ledger[Slot.FAMILY] == self._number:  # its children were seen from outside
            peak = max(peak, ledger[Slot.FAMILY_PEAK])
        return Costs(
            self._number, self._count, self._began, wall, user, system, children,
            self._memory, memory - self._memory, max(peak, memory),
        )  # fmt: skip

    def end(self, *, ok: bool) -> Costs:
        """End a cell."""
        costs = self.so_far()
        self.history.append(costs)
        ledger = self._ledger
        ledger[Slot.PEAK] = self._peak = max(self._peak, costs.memory_peak)
        self._outcomes[Slot.OK if ok else Slot.FAILED] += 1
        for slot, count in self._outcomes.items():
            ledger[slot] = count
        ledger[Slot.CELL] = 0
        return costs

    def close(self) -> None:
        """Let go of the files (in a forked child, whose they are not)."""
        for fd in (self._statm, self._status, self._clear_refs):
            if fd >= 0:
                os.close(fd)
        self._statm = self._status = self._clear_refs = -1

    def _reset_peak(self) -> None:
        if self._clear_refs >= 0:
            with suppress(OSError):
                os.pwrite(self._clear_refs, _RESET_PEAK, 0)

    def _resident(self) -> int:
        if self._statm < 0:
            return 0
        return int(os.pread(self._statm, 128, 0).split()[1]) * _PAGE

    def _peak_and_memory(self) -> tuple[int, int]:
        if self._status < 0:
            # Without /proc only the peak of the whole life is known.
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return peak, peak
        text = os.pread(self._status, 4096, 0)
        return _kib(text, b"VmHWM:") * 1024, _kib(text, b"VmRSS:") * 1024


def _open(path: str, flags: int) -> int:
    try:
        return os.open(path, flags)
    except OSError:  # another system, or a sandbox
        return -1


def _kib(text: bytes, name: bytes) -> int:
    at = text.find(name)
    return int(text[at + len(name) :].split(None, 1)[0]) if at >= 0 else 0


def _cpu() -> tuple[float, float, float]:
    """Give user and system time of this process, and the time of its ended children."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime, own.ru_stime, children.ru_utime + children.ru_stime
