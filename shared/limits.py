"""What a cell may use, and what it is told when it uses more."""

from __future__ import annotations

from enum import IntEnum

from . import sizes
from .tuples import NamedTuple

LIMIT_OPTION = "--memory-limit"
SMALLEST = 128 << 20
"""The smallest memory limit, in bytes: IPython and its modules have to fit."""


class Why(IntEnum):
    """Why a cell is interrupted."""

    USER = 0
    MEMORY = 1
    CPU = 2
    WALL = 3


class Limits(NamedTuple):
    """The limits of one kernel; 0 is none."""

    memory: int = 0
    """Bytes that the interpreter and what it has started may use, files in memory not counted."""
    cpu: float = 0.0
    """Seconds of processor time for one cell, children included."""
    wall: float = 0.0
    """Seconds that one cell may take."""

    def sentence(self, why: Why) -> str:
        """Say which limit was passed."""
        match why:
            case Why.MEMORY:
                limit = sizes.show(self.memory)
                return (
                    "The interpreter and the processes it has started use more than the memory "
                    f"limit of {limit} ({LIMIT_OPTION})."
                )
            case Why.CPU:
                return f"The cell used more than {self.cpu:g} s of processor time (--cpu-limit)."
            case Why.WALL:
                return f"The cell took longer than {self.wall:g} s (--cell-timeout)."
            case Why.USER:
                return ""

    def error(self, why: Why) -> BaseException:
        """Make what is raised in the cell."""
        match why:
            case Why.MEMORY:
                return MemoryError(self.sentence(why))
            case Why.CPU | Why.WALL:
                return TimeoutError(self.sentence(why))
            case Why.USER:
                return KeyboardInterrupt()


NO_LIMITS = Limits()


def parse_memory(text: str) -> int:
    """Read a memory limit. Raises ValueError, which names it, for one that cannot be kept."""
    limit = sizes.parse(text)
    if limit < SMALLEST:
        raise ValueError(
            f"{text!r} is too little; the interpreter alone needs up to {sizes.show(SMALLEST)}"
        )
    return limit


def slot_of(why: Why, number: int) -> int:
    """Give what the ledger holds: why the request of this number is interrupted."""
    return number * len(Why) + why


def why_of(slot: int, number: int) -> Why:
    """Read what the ledger holds. What was said of another request does not count."""
    meant, why = divmod(slot, len(Why))
    return Why(why) if meant == number else Why.USER
