"""What SIGINT does here.

Wanted: an interrupt stops the request that it was meant for, at any bytecode of the user's code;
it never hits a later request (G27), and never tears a record that is being written (G28).

What does not work:

- Python's default handler. It raises wherever the main thread is: between two cells, in the middle
  of a write, in the clean-up after a cell.
- A flag 'user code runs now', set before the cell and cleared after it. The signal can come after
  the user's code returned and before the flag is cleared, and then hits whatever comes next.
- Blocking the signal around each write. Two system calls for every ``print``.

So the handler looks at the stack that it interrupted. Beneath the frame of ``Interrupts.call`` runs
the user's code, and nothing else: no such frame, no exception. If a protected function (one that
writes or reads a frame) is nearer than that, the interrupt is remembered, and whoever called the
protected function raises it. And because a signal may be late, the supervisor first writes the
number of the request that it means into shared memory; one that is not running any more is ignored,
one that has not begun yet is raised at its beginning.

While a coroutine waits, the innermost frames are the event loop's. Raising there would break the
loop, so the cell's task is cancelled instead, and reports a KeyboardInterrupt. And between making
IPython's coroutine for a cell and running it, an exception would leave it to the garbage collector,
which complains in a later cell; so the interrupt is remembered there, too, and raised where the
user's code begins.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal.getsignal makes an enum, each time
import asyncio
import asyncio.events
import inspect
import os
import signal
import threading
import time
import traceback
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from ..shared.ledger import Slot
from ..shared.limits import NO_LIMITS, Why, why_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from contextvars import Context
    from types import CodeType, FrameType

    from ..shared.ledger import Ledger
    from ..shared.limits import Limits

T = TypeVar("T")

_SIGINT = int(signal.SIGINT)
_TRIES = 5
_CANCEL_DEADLINE = 2.0
"""Seconds after which a cell that swallows its cancellation is left to itself, as a task."""

_protected: set[CodeType] = set()
_fragile: set[CodeType] = set()
_deferring: dict[CodeType, CodeType] = {}


def protected(function: Callable[..., T]) -> Callable[..., T]:
    """Mark a function in which no interrupt may be raised. Its caller calls ``deliver`` after."""
    _protected.add(function.__code__)
    return function


def fragile(function: Callable[..., Any]) -> None:
    """Mark a function in which, and no deeper, an interrupt has to wait.

    It swallows exceptions, or holds a coroutine that nobody awaits yet.
    """
    _fragile.add(function.__code__)


def defer_between(outer: Callable[..., Any], inner: Callable[..., Any]) -> None:
    """Mark a function in which an interrupt has to wait until it has come to calling another."""
    _deferring[outer.__code__] = inner.__code__


class Interrupts:
    """The SIGINT handler of the worker's main thread, and the one place that runs user code."""

    RAISED = (KeyboardInterrupt, MemoryError, TimeoutError)
    """What an interrupt can raise."""

    def __init__(
        self, ledger: Ledger, loop: asyncio.AbstractEventLoop, limits: Limits = NO_LIMITS
    ) -> None:
        self._ledger = ledger
        self._limits = limits
        self._loop = loop
        self._main = threading.get_ident()
        self._pid = os.getpid()
        self._number = 0  # of the request whose code may run now
        self._seen = 0  # of the supervisor's interrupts
        self._latency = 0  # microseconds, added up; the ledger's copy may be spoilt
        self.remembered = False
        self._why = Why.USER  # of the newest interrupt
        self._task: asyncio.Task[Any] | None = None
        self.waiting = False
        """The loop waits for a request, and runs background tasks meanwhile."""
        self.cancelled = False
        """The running request's task was cancelled because of an interrupt."""
        self.telling = False
        """The running cell's error is being shown: that it also passed a limit is no news."""

    def begin_again(self) -> None:
        """Count from the beginning, in a process that has become the worker."""
        self._pid = os.getpid()
        self._seen = self._latency = 0
        self.remembered = False

    def install(self) -> None:
        """Take SIGINT, whether it was ignored by the parent or taken by a cell."""
        _set_handler(signal.SIGINT, self._handle)

    def watch_handlers(self) -> None:
        """From now on, know when a SIGINT handler of the user's has heard an interrupt.

        A cell that handles it, and saves its work before it ends, must not be taken for one that
        hears nothing.
        """

        def set_handler(signum: int, handler: Any) -> Any:
            if signum == signal.SIGINT and callable(handler) and handler != self._handle:
                handler = _Heard(handler, self._note)
            return _unwrapped(_set_handler(signum, handler))

        def get_handler(signum: int) -> Any:
            return _unwrapped(_get_handler(signum))

        signal.signal = wraps(_set_handler)(set_handler)  # type: ignore[assignment]
        signal.getsignal = wraps(_get_handler)(get_handler)  # type: ignore[assignment]

    def call(self, number: int, coroutine: Coroutine[Any, Any, T], context: Context) -> T:
        """Run user code. Raises ``error()`` if the request was interrupted outside of it."""
        self.remembered = self.cancelled = False
        # The task first: an interrupt while it is made would leave it to the garbage collector.
        self._task = self._loop.create_task(coroutine, context=context)
        self._number = number
        try:
            if self._ledger[Slot.INTERRUPT] == number:
                self._why = why_of(self._ledger[Slot.WHY], number)
                raise self.error()
            result: T = self._loop.run_until_complete(self._task)
            return result
        finally:
            self._number = 0

    def stop_if_waiting(self) -> None:
        """Let a child that a background task forked end where the loop would go on for it."""
        if self.waiting:
            self._loop.stop()

    def finish(self) -> None:
        """Clean up after ``call``, from outside of it: what is done here is never interrupted."""
        self._number = 0
        self.remembered = False
        task, self._task = self._task, None
        if task is not None and not task.done():
            # The interrupt left the loop through another callback; the cell's task goes with it.
            self.cancelled = True
            task.cancel()
            self._let_it_end(task)
        if task is not None and task.done() and not task.cancelled():
            task.exception()  # it was told, or is the interrupt: asyncio need not complain
        if _signal.getsignal(_SIGINT) != self._handle:
            self.install()

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

    @contextmanager
    def default_handler(self) -> Iterator[None]:
        """Use Python's own handler, for a foreign event loop that puts its own in place of it.

        Trio does, and keeps its internals from being interrupted; it does not know our handler.
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield
        finally:
            self.install()

    def deliver(self) -> None:
        """Raise an interrupt that came while a protected function ran."""
        __tracebackhide__ = True
        if self.remembered and threading.get_ident() == self._main:
            self.remembered = False
            raise self.error()

    def error(self) -> BaseException:
        """Make what an interrupt raises: KeyboardInterrupt, or the error of a limit."""
        return self._limits.error(self._why)

    def _note(self) -> int:
        """Tell the supervisor that its interrupts were heard; give how many there were."""
        seen = self._ledger[Slot.INTERRUPTS]
        if os.getpid() == self._pid:  # and not a forked child, which shares the ledger
            if self._ledger[Slot.HANDLED] != seen:
                late = time.monotonic_ns() - self._ledger[Slot.INTERRUPTED_AT]
                self._latency += max(0, late) // 1000
                self._ledger[Slot.LATENCY] = self._latency
            self._ledger[Slot.HANDLED] = seen
        return seen

    def _handle(self, _signum: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True  # the user is shown where the cell was, not how it was told
        ledger = self._ledger
        seen, self._seen = self._seen, self._note()
        # If there is no new one of the supervisor's, somebody else means whatever runs.
        by_supervisor = self._seen != seen
        meant = ledger[Slot.INTERRUPT] if by_supervisor else self._number
        if meant != self._number and not ledger[Slot.LEAVE]:
            if self.waiting and meant > ledger[Slot.ENDED] and _in_user_callback(frame):
                raise KeyboardInterrupt  # a background task keeps that request from beginning
            return  # meant for a request that is over, or one that will find it at its beginning
        why = why_of(ledger[Slot.WHY], self._number) if by_supervisor else Why.USER
        if self.telling and why is not Why.USER:
            return
        self._why = why
        if frame is not None and frame.f_code in _fragile:
            self.remembered = self._beneath_call(frame)
            return
        callee: FrameType | None = None
        passed: set[CodeType] = set()
        in_callback = False
        while frame is not None:
            code = frame.f_code
            if code in _protected or _deferring.get(code, code) not in passed | {code}:
                self.remembered = self._beneath_call(frame)
                return
            if code is _CALLBACK:
                in_callback = _is_user_s(callee)
            elif code is _LOOP and not in_callback and self._beneath_call(frame):
                self._cancel()
                return
            elif code is _CALL:
                if in_callback and why is not Why.USER:
                    # asyncio keeps what is no KeyboardInterrupt to itself, and the cell would wait.
                    self._cancel_unless_it_runs()
                raise self.error()
            passed.add(code)
            callee, frame = frame, frame.f_back

    def _beneath_call(self, frame: FrameType | None) -> bool:
        while frame is not None and frame.f_code is not _CALL:
            frame = frame.f_back
        return frame is not None

    def _cancel_unless_it_runs(self) -> None:
        task = self._task
        if task is None or asyncio.current_task(self._loop) is task:
            return

        def cancel() -> None:
            self.cancelled = task.cancel()

        self._loop.call_soon_threadsafe(cancel)

    def _cancel(self) -> None:
        task = self._task
        if task is None or task.done():
            return
        # The loop may be about to take the task's first step, which for most cells is the only one.
        self.remembered = True

        def cancel() -> None:
            self.remembered = False
            self.cancelled = task.cancel()

        # Threadsafe wakes the loop, which goes on waiting after the handler has returned.
        self._loop.call_soon_threadsafe(cancel)


class _Heard:
    """A SIGINT handler of the user's that notes that it was called."""

    def __init__(self, handler: Callable[..., Any], note: Callable[[], Any]) -> None:
        self.handler = handler
        self._note = note

    def __call__(self, signum: int, frame: FrameType | None) -> Any:
        __tracebackhide__ = True
        self._note()
        return self.handler(signum, frame)


def _unwrapped(handler: Any) -> Any:
    return handler.handler if isinstance(handler, _Heard) else handler


def _in_user_callback(frame: FrameType | None) -> bool:
    """Tell whether the event loop runs something of the user's, and not the loop itself."""
    callee = None
    while frame is not None:
        if frame.f_code is _CALLBACK:
            return _is_user_s(callee)
        callee, frame = frame, frame.f_back
    return False


def _is_user_s(callee: FrameType | None) -> bool:
    """Tell what a handle of the loop calls from asyncio's own callbacks.

    asyncio's coroutines are the user's: they run for whoever awaits them. So are ours, which run
    the cell; what else we call is not.
    """
    if callee is None:
        return False
    code = callee.f_code
    return not code.co_filename.startswith((_ASYNCIO, _OURS)) or bool(
        code.co_flags & inspect.CO_COROUTINE
    )


_set_handler, _get_handler = signal.signal, signal.getsignal


_ASYNCIO = os.path.dirname(asyncio.__file__)  # noqa: PTH120 - to be compared with a string
_OURS = os.path.dirname(__file__)  # noqa: PTH120 - as above
# What Python calls when something is let go of: an exception there is printed, and is over.
for _container in (WeakSet, WeakKeyDictionary, WeakValueDictionary):
    fragile(getattr(_container(), "_remove"))  # noqa: B009 - the type stubs do not know it
_CALL = Interrupts.call.__code__
_CALLBACK = asyncio.events.Handle._run.__code__  # noqa: SLF001
_LOOP = asyncio.BaseEventLoop.run_forever.__code__
