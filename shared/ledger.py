"""A block of shared memory: what supervisor and worker must both see without a message.

Each slot has one writer. A slot is eight bytes and aligned, so a reader sees the old number or the
new one and never half of each.

The slots CONSUMED_1 and CONSUMED_2 belong together with the pipes that they count, and are guarded
by a sequence (a seqlock): it is odd while the supervisor reads from a pipe and has not yet said how
much. A worker that wants to know how many bytes were ever written to descriptor 1 adds what is
still in the pipe to what was taken out; seen in the middle of a read, that sum would miss the bytes
in flight, and a record would overtake them.
"""

from __future__ import annotations

import mmap
import time
from enum import IntEnum
from typing import TYPE_CHECKING

from . import blocks

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = mmap.PAGESIZE


class Slot(IntEnum):
    """The slots, with their writers."""

    SEQUENCE = 0  # IOPub: odd while a captured pipe is being read
    CONSUMED_1 = 1  # IOPub: bytes ever read from the worker's descriptor 1
    CONSUMED_2 = 2  # IOPub: the same for descriptor 2
    SENT = 3  # Shell: the number of the newest request given to the worker
    ENDED = 4  # the worker: the number of the newest request whose user code is over
    INTERRUPT = 5  # Control: the number that the newest interrupt is meant for
    INTERRUPTS = 6  # Control: how many interrupts there were
    HANDLED = 7  # the worker: the newest of those interrupts that its Python code has heard of
    LEAVE = 8  # Control: 1 once the worker is to end
    WHY = 9  # Control: why it interrupts which request (``limits.slot_of``)
    INTERRUPTED_AT = 10  # Control: when, in nanoseconds of the monotonic clock
    LATENCY = 11  # the worker: microseconds from interrupts to their being heard, added up
    SPOOLED = 24  # the worker: bytes of printed text ever spooled
    TAKEN = 25  # IOPub: how many of them it has taken
    SLEEPS = 26  # IOPub: how often it has gone to sleep; text that comes then has to wake it
    LOOKS = 27  # Control: how often the worker was to look at its orders
    LOOKED = 28  # the worker: the newest of those times of which its Python code has heard
    # What cells use, in bytes and microseconds.
    CELL = 12  # the worker: the number of the running execute_request; 0 if none runs
    CELL_COUNT = 13  # the worker: its execution_count
    CELL_BEGAN = 14  # the worker: when it began, in nanoseconds since the epoch
    CELL_USER = 15  # the worker: user time of the process when it began
    CELL_SYSTEM = 16  # the worker: system time of the process when it began
    CELL_CHILDREN = 17  # the worker: processor time of ended children when it began
    CELL_MEMORY = 18  # the worker: resident memory when it began
    PEAK = 19  # the worker: the most resident memory during the cells that have ended
    OK = 20  # the worker: cells that have succeeded
    FAILED = 21  # the worker: cells that have failed
    FAMILY = 22  # Monitor: the number of the request that the next slot is about
    FAMILY_PEAK = 23  # Monitor: the most that worker and children were seen to use during it


# A member of an enumeration takes longer to look up than what it stands for.
_SEQUENCE, _CONSUMED_1, _CONSUMED_2 = map(int, (Slot.SEQUENCE, Slot.CONSUMED_1, Slot.CONSUMED_2))


def create() -> int:
    """Make an anonymous block and give its file descriptor (not inheritable)."""
    return blocks.create("bulkhead-ledger", SIZE)


class Ledger:
    """One process's view of the block."""

    def __init__(self, fd: int) -> None:
        """Map the block behind ``fd``; the descriptor may be closed afterwards."""
        self.map(fd)

    def map(self, fd: int) -> None:
        """Map another block; whoever holds the bare slots has to take them again."""
        self._map = mmap.mmap(fd, SIZE)
        self._slots = self.slots = memoryview(self._map).cast("Q")
        """The bare slots, for who is in a hurry."""
        # What is written here is counted here: native code of the user's can run wild over the
        # block, and may spoil its own view of it only.
        self._sequence = 0
        self._consumed = {Slot.CONSUMED_1: 0, Slot.CONSUMED_2: 0}

    def __repr__(self) -> str:
        return f"<Ledger { ({slot.name: self[slot] for slot in Slot}) }>"

    def __getitem__(self, slot: Slot) -> int:
        return self._slots[slot]

    def __setitem__(self, slot: Slot, value: int) -> None:
        self._slots[slot] = value

    def running(self) -> int:
        """Give the number of the request that the worker has and has not ended, or 0."""
        sent = self[Slot.SENT]
        return sent if sent > self[Slot.ENDED] else 0

    def consume(self, slot: Slot, read: Callable[[], bytes]) -> bytes:
        """Read a captured pipe and count what came out, as one step (supervisor only)."""
        slots, sequence = self._slots, self._sequence
        self._sequence = sequence + 2
        slots[Slot.SEQUENCE] = sequence + 1
        try:
            data = read()
            self._consumed[slot] += len(data)
            slots[slot] = self._consumed[slot]
        finally:
            slots[Slot.SEQUENCE] = sequence + 2
        return data

    def written(self, waiting: Callable[[], tuple[int, int]]) -> tuple[int, int]:
        """Count the bytes ever written to descriptors 1 and 2 (worker only).

        ``waiting`` tells how many are in each pipe now.
        """
        slots = self._slots
        while True:
            before = slots[_SEQUENCE]
            out, err = waiting()
            out += slots[_CONSUMED_1]
            err += slots[_CONSUMED_2]
            if before == slots[_SEQUENCE] and not before & 1:
                return out, err
            time.sleep(0)  # gives the processor away: the supervisor is between two lines
