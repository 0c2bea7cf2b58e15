"""Interrupts, and what happens when nobody hears one (races 16 to 18).

Python code hears an interrupt at once. Native code that neither returns nor listens does not; then
the cell is told where it is stuck, and a second interrupt, or a while, ends the worker. An
interrupt that was heard is never escalated: a cell that catches it and saves its work first may
take its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .events import Remark
from .post_mortem import where_stuck

if TYPE_CHECKING:
    from collections.abc import Callable

    from .events import ToIOPub
    from .inbox import Inbox
    from .policy import Policy
    from .recovery_words import Standing
    from .timers import Timers
    from .worker_process import WorkerProcess

_FOR_STACKS = 0.1
"""Seconds from asking a worker for its stacks to reading them: nothing marks their end."""

_WHY = (
    "The cell was interrupted, and the native code that it runs did not listen. "
    "The interpreter was ended, as announced."
)


class Interruption:
    """The interrupts of one worker."""

    def __init__(
        self,
        process: WorkerProcess,
        timers: Timers,
        policy: Policy,
        to_iopub: Inbox[ToIOPub],
        standing: Callable[[], Standing | None],
    ) -> None:
        """Take the worker and what is needed; ``standing`` tells what its end would leave."""
        self._process = process
        self._timers = timers
        self._policy = policy
        self._to_iopub = to_iopub
        self._standing = standing
        self._stuck = 0  # number of the request of which it was told that it is stuck
        self._watched = 0  # serial number of the interrupt whose deadlines run; 0 if none do
        self._number = 0  # of the request that it was meant for
        self._serial = 0

    def interrupt(self, number: int) -> None:
        """Interrupt the request that runs now."""
        if self._stuck == number and self._is_deaf(number):
            self._give_up(number)
            return
        pending = self._watched and self._number == number and self._is_deaf(number)
        self._process.interrupt(number)
        if not pending:  # otherwise the deadlines of the first one that was not heard run
            self._serial += 1
            self._number, self._watched = number, self._serial
            serial = self._serial
            self._timers.after(self._policy.stuck_after, lambda: self._ask(number, serial))
            self._timers.after(self._policy.kill_after, lambda: self._expire(number, serial))

    def _is_deaf(self, number: int) -> bool:
        process = self._process
        return not process.is_dead() and process.running() == number and not process.has_heard()

    def _ask(self, number: int, serial: int) -> None:
        if self._watched != serial:
            return
        if not self._is_deaf(number):
            self._watched = 0
            return
        self._stuck = number
        self._process.ask_for_stacks()
        self._timers.after(_FOR_STACKS, self._tell)

    def _expire(self, number: int, serial: int) -> None:
        if self._watched == serial:
            self._watched = 0
            self._give_up(number)

    def _tell(self) -> None:
        if self._is_deaf(self._stuck):
            policy = self._policy
            stacks = self._process.read_stacks()
            text = where_stuck(stacks, policy.stuck_after, policy.kill_after, self._standing())
            self._to_iopub.put(Remark(self._stuck, text))

    def _give_up(self, number: int) -> None:
        if self._is_deaf(number):
            self._process.end("KernelInterrupted", _WHY)
