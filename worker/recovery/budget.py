"""When a snapshot is worth its price. Pure.

A snapshot costs the time of a fork, which the user waits for unless nobody is waiting, and makes
the next writes to old memory slower (its tax). Between cells that a person runs there is time
enough for the first; in a queue of cells (Run All, a batch) they have to have earned it. The second
has to be small beside the time that the cells take themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...shared.meminfo import Memory

IDLE = 0.05
"""Seconds without a request, at least, after which nobody seems to be waiting."""
PART = 0.02
"""The part of a cell's time that may be spent on it in a queue."""
FREE = 0.005
"""Seconds of tax that are no matter."""
_FIRST_COST = 0.01  # seconds that the first one is taken to cost
_PATIENCE = 10.0  # times its cost: how long nobody has to have asked for anything
_SPARE_PART, _SPARE = 0.1, 1 << 30  # of the memory of the machine, and bytes

AUTO, ON, OFF = "auto", "on", "off"


class Budget:
    """The price of snapshots, and what was worked since the last one."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.cost = _FIRST_COST
        """Seconds that the last one took."""
        self.spent = 0.0
        """Seconds that all of them took."""
        self.taken = 0
        self._worked = 0.0  # seconds since the last one
        self._changed = False

    def worked(self, seconds: float) -> None:
        """Note that the user's code ran."""
        self._changed = True
        self._worked += seconds

    @property
    def wanted(self) -> bool:
        """Tell whether something has changed since the last one."""
        return self._changed and self.mode != OFF

    @property
    def patience(self) -> float:
        """Seconds without a request after which one is made."""
        return IDLE if self.mode == ON else max(IDLE, _PATIENCE * self.cost)

    def is_earned(self, tax: float) -> bool:
        """Tell whether to make one although the next cell waits; ``tax`` is the last one's."""
        if not self.wanted:
            return False
        return self.mode == ON or self.cost + tax <= PART * self._worked

    def is_fair(self, tax: float) -> bool:
        """Tell whether to make one now that nobody waits."""
        return self.mode == ON or tax <= max(FREE, PART * self._worked)

    def took(self, seconds: float) -> None:
        """Note that one was made."""
        self.cost = seconds
        self.spent += seconds
        self.taken += 1
        self.settle()

    def settle(self) -> None:
        """Note that there is nothing to be done until something changes again."""
        self._worked, self._changed = 0.0, False


def shortage(resident: int, memory: Memory, limit: int) -> str:
    """Tell why memory forbids a snapshot; "" if it does not.

    What the worker lets go of stays in the snapshot, so that both together can take twice as much
    as it has resident. ``limit`` is the kernel's own, in bytes; 0 for none.
    """
    if limit and resident > limit // 2:
        return "the interpreter uses more than half of its memory limit (--memory-limit)"
    if memory.beyond(_SPARE_PART, _SPARE) < 0:
        return "there is too little free memory"
    return ""
