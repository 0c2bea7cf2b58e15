"""What SIGINT does here.

The handler looks at the stack that it interrupted, and raises there, or remembers, or cancels (see
``stacks``). Because a signal may be late, the supervisor first writes the number of the request
that it means into shared memory; one that is not running any more is ignored, one that has not
begun yet is raised at its beginning.

A signal only ever reaches the main thread. So this is about the requests of the main shell; how
those of subshells are interrupted is in ``strikes``.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal.getsignal makes an enum, each time
import asyncio
import os
import signal
import time
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from ..shared.ledger import Slot
from ..shared.limits import NO_LIMITS, Why, why_of
from .running import Running
from .stacks import Fall, fall, in_user_callback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from ..shared.ledger import Ledger
    from ..shared.limits import Limits


_SIGINT = int(signal.SIGINT)


class Interrupts(Running):
    """The SIGINT handler of the worker's main thread, and the one place that runs its user code."""

    def __init__(
        self, ledger: Ledger, loop: asyncio.AbstractEventLoop, limits: Limits = NO_LIMITS
    ) -> None:
        super().__init__(loop, set())
        self._ledger = ledger
        self._limits = limits
        self._pid = os.getpid()
        self._seen = 0  # of the supervisor's interrupts
        self._latency = 0  # microseconds, added up; the ledger's copy may be spoilt
        self._why = Why.USER  # of the newest interrupt
        self._put_off = False  # one came that was no news, and the supervisor does not know yet

    def begin_again(self) -> None:
        """Count from the beginning, in a process that has become the worker."""
        self._pid = os.getpid()
        self._seen = self._latency = 0
        self.remembered.clear()

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

    def check(self, number: int) -> None:
        """Raise ``error()`` if this request was interrupted before it began."""
        if self._ledger[Slot.INTERRUPT] == number:
            self._why = why_of(self._ledger[Slot.WHY], number)
            raise self.error()

    def end_telling(self) -> None:
        """Let it be known that interrupts were heard that changed nothing.

        Only now: if what shows an error hangs, a second interrupt has to end it.
        """
        super().end_telling()
        if self._put_off:
            self._put_off = False
            self._seen = self._note()

    def stop_if_waiting(self) -> None:
        """Let a child that a background task forked end where the loop would go on for it."""
        if self.waiting:
            self._loop.stop()

    def finish(self) -> None:
        """Clean up after ``call``, from outside of it: what is done here is never interrupted."""
        super().finish()
        if _signal.getsignal(_SIGINT) != self._handle:
            self.install()

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
        if self._is_no_news():
            # IPython would show neither: it takes an interrupt here for the wish to see nothing.
            self._put_off = True
            return
        seen, self._seen = self._seen, self._note()
        # If there is no new one of the supervisor's, somebody else means whatever runs.
        by_supervisor = self._seen != seen
        meant = ledger[Slot.INTERRUPT] if by_supervisor else self._number
        if meant != self._number and not ledger[Slot.LEAVE]:
            if self.waiting and meant > ledger[Slot.ENDED] and in_user_callback(frame):
                raise KeyboardInterrupt  # a background task keeps that request from beginning
            return  # meant for a request that is over, or one that will find it at its beginning
        why = why_of(ledger[Slot.WHY], self._number) if by_supervisor else Why.USER
        if self.telling is not None:
            if why is not Why.USER:
                return
            self.cut_short = True
        self._why = why
        self._interrupt(frame)

    def _is_no_news(self) -> bool:
        """Tell whether the cell ends anyway, and what an interrupt would end is how it says so."""
        return self.telling is not None and (
            isinstance(self.telling, KeyboardInterrupt) or bool(self._ledger[Slot.LEAVE])
        )

    def again(self, frame: FrameType | None) -> None:
        """See to an interrupt that another signal's handler made wait, which stood on this frame.

        Raises what an interrupt raises.
        """
        __tracebackhide__ = True
        if self._ident in self.remembered:
            self.remembered.discard(self._ident)
            self._interrupt(frame)

    def _interrupt(self, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        match fall(frame):
            case Fall.WAIT:
                self.remembered.add(self._ident)
            case Fall.CANCEL:
                self._cancel()
            case Fall.RAISE:
                raise self.error()
            case Fall.RAISE_IN_CALLBACK:
                if self._why is not Why.USER:
                    # asyncio keeps what is no KeyboardInterrupt to itself, and the cell would wait.
                    self._cancel_unless_it_runs()
                raise self.error()
            case Fall.NOTHING:
                pass

    def _cancel_unless_it_runs(self) -> None:
        task = self._task
        if task is None or asyncio.current_task(self._loop) is task:
            return

        def cancel() -> None:
            self.cancelled = task.cancel()

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


_set_handler, _get_handler = signal.signal, signal.getsignal
