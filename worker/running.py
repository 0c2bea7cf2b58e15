"""The user's code of one request at a time, run in one thread so that an interrupt can stop it.

What interrupts come by differs: the main thread is interrupted by a signal (``interrupts``), a
thread of a subshell by the main thread (``strikes``). What they find does not: the request whose
code runs, the task that runs it, and what has to wait.
"""

from __future__ import annotations

import asyncio
import threading
import traceback
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from .stacks import runs_user_code

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextlib import AbstractContextManager
    from contextvars import Context

T = TypeVar("T")

RAISED = (KeyboardInterrupt, MemoryError, TimeoutError)
"""What an interrupt can raise."""

_TRIES = 5
_CANCEL_DEADLINE = 2.0
"""Seconds after which a cell that swallows its cancellation is left to itself, as a task."""


class Running:
    """What runs in the thread that makes this object."""

    def __init__(self, loop: asyncio.AbstractEventLoop, remembered: set[int]) -> None:
        """Take the thread's loop, and the identifiers of the threads that are to be interrupted."""
        self._loop = loop
        self._ident = threading.get_ident()
        self._number = 0  # of the request whose code may run now
        self._task: asyncio.Task[Any] | None = None
        self.remembered = remembered
        self.waiting = False
        """The loop waits for a request, and runs background tasks meanwhile."""
        self.cancelled = False
        """The running request's task was cancelled because of an interrupt."""
        self.telling: BaseException | None = None
        """The running cell's error, while it is being shown."""
        self.cut_short = False
        """An interrupt was raised while it was."""

    @property
    def is_busy(self) -> bool:
        """Tell whether a request's code runs."""
        return bool(self._number)

    @runs_user_code
    def call(self, number: int, coroutine: Coroutine[Any, Any, T], context: Context) -> T:
        """Run user code. Raises ``error()`` if the request was interrupted outside of it."""
        self.remembered.discard(self._ident)
        self.cancelled = False
        # The task first: an interrupt while it is made would leave it to the garbage collector.
        self._task = self._loop.create_task(coroutine, context=context)
        self._number = number
        try:
            self.check(number)
            result: T = self._loop.run_until_complete(self._task)
            return result
        finally:
            self._number = 0

    def check(self, number: int) -> None:
        """Raise ``error()`` if this request was interrupted before it began."""
        raise NotImplementedError

    def finish(self) -> None:
        """Clean up after ``call``, from outside of it: what is done here is never interrupted."""
        self._number = 0
        self.remembered.discard(self._ident)
        task, self._task = self._task, None
        if task is not None and not task.done():
            # The interrupt left the loop through another callback; the cell's task goes with it.
            self.cancelled = True
            task.cancel()
            self._let_it_end(task)
        if task is not None and task.done() and not task.cancelled():
            task.exception()  # it was told, or is the interrupt: asyncio need not complain

    def _let_it_end(self, task: asyncio.Task[Any]) -> None:
        """Run the loop until a cancelled task has ended, or has shown that it will not."""
        self.waiting = True  # background tasks run meanwhile, and one may have to be interrupted
        for _ in range(_TRIES):
            try:
                self._loop.run_until_complete(asyncio.wait([task], timeout=_CANCEL_DEADLINE))
                break
            except (KeyboardInterrupt, RuntimeError):
                # RuntimeError: the interrupted run has left a callback that stops the loop, once.
                continue
            except BaseException:  # noqa: BLE001 - of a background task
                traceback.print_exc()
        self.waiting = False

    def begin_telling(self, error: BaseException) -> None:
        """Note that an error is about to be shown. That it is interrupted again is no news."""
        self.cut_short = False
        self.telling = error

    def end_telling(self) -> None:
        """Note that nothing is being shown any more."""
        self.telling = None

    def watched(self) -> tuple[int, ...]:
        """Give descriptors that have to be watched while this thread waits, to be interrupted."""
        return ()

    def default_handler(self) -> AbstractContextManager[None]:
        """Let a foreign event loop have its own way with signals."""
        return nullcontext()

    def deliver(self) -> None:
        """Raise an interrupt that came while a protected function ran in the calling thread."""
        __tracebackhide__ = True
        if self.remembered and (ident := threading.get_ident()) in self.remembered:
            self.remembered.discard(ident)
            raise self.error() if ident == self._ident else KeyboardInterrupt

    def error(self) -> BaseException:
        """Make what an interrupt raises."""
        return KeyboardInterrupt()

    def _cancel(self) -> None:
        task = self._task
        if task is None or task.done():
            return
        # The loop may be about to take the task's first step, which for most cells is the only one.
        self.remembered.add(self._ident)

        def cancel() -> None:
            self.remembered.discard(self._ident)
            self.cancelled = task.cancel()

        # Threadsafe wakes the loop, which goes on waiting after the handler has returned.
        self._loop.call_soon_threadsafe(cancel)
