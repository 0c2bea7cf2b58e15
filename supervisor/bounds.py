"""Whether a cell keeps within its limits, and what is to be done if it does not. Pure.

It is interrupted first, with an error that names the limit. If that does not help, its interpreter
is ended. What helps is another thing for memory than for time: a cell that has let go of the memory
may go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..shared import sizes
from ..shared.limits import Why
from ..shared.tuples import NamedTuple

if TYPE_CHECKING:
    from ..shared.limits import Limits

MEMORY_PATIENCE = 1.0
"""Seconds from an interrupt for memory to the end of the worker."""
_LEEWAY = 1.02
"""Times what was in use when a cell began, if that was too much already."""
RUNAWAY = 1.5
"""How many times its limit it may use meanwhile."""


class Interrupt(NamedTuple):
    """Interrupt the cell, and tell it why."""

    why: Why


class End(NamedTuple):
    """End the worker; its death is told like this."""

    ename: str
    evalue: str


class Reading(NamedTuple):
    """What was seen of a cell."""

    wall: float
    """Seconds since it was sent to the worker."""
    cpu: float
    """Seconds of processor time since it was first looked at."""
    memory: int
    """Bytes that the worker and its children use, files not counted."""


class Bounds:
    """The limits of one cell, and which of them it has passed."""

    def __init__(self, limits: Limits, patience: float, before: int = 0) -> None:
        """Take the limits and what the interpreter had when the cell began, in bytes.

        ``patience`` is how many seconds a cell may go on after it was told that its time is over.
        """
        self._limits = limits
        self._patience = patience
        self._told: dict[Why, float] = {}  # ... and when
        self._peak = 0
        # What is too much already was taken between cells, by a thread or a task. It is not this
        # cell's doing, and to end the interpreter for it would cost the variables.
        self._memory = max(limits.memory, int(_LEEWAY * before))

    def check(self, reading: Reading) -> Interrupt | End | None:
        """Say what follows from what was seen."""
        limits, told = self._limits, self._told
        self._peak = max(self._peak, reading.memory)
        if reading.memory <= self._memory:
            told.pop(Why.MEMORY, None)
        for why, passed in (
            (Why.MEMORY, limits.memory and reading.memory > self._memory),
            (Why.CPU, limits.cpu and reading.cpu > limits.cpu),
            (Why.WALL, limits.wall and reading.wall > limits.wall),
        ):
            if passed and why not in told:
                told[why] = reading.wall
                return Interrupt(why)
            if passed and self._is_enough(why, reading):
                return self._end(why)
        return None

    def _is_enough(self, why: Why, reading: Reading) -> bool:
        waited = reading.wall - self._told[why]
        if why is Why.MEMORY:
            return waited > MEMORY_PATIENCE or reading.memory > RUNAWAY * self._memory
        return waited > self._patience

    def _end(self, why: Why) -> End:
        sentence = self._limits.sentence(why)
        if why is Why.MEMORY:
            peak = sizes.show(self._peak)
            return End(
                "KernelOutOfMemory",
                f"{sentence} They used {peak}. The cell was interrupted and did not let go of it, "
                "so the interpreter was ended.",
            )
        return End(
            "KernelOutOfTime",
            f"{sentence} It was interrupted and went on, so the interpreter was ended.",
        )
