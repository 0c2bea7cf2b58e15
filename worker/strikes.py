"""How the requests of subshells are interrupted.

A signal reaches the main thread only. Its handler looks at the stack of the subshell's thread, by
the same rules as at its own (see ``stacks``), and asks Python to raise an exception there. That
thread waits for the interpreter's lock while we look, or is in a call to C code; when it goes on,
the exception is the first thing that happens to it, exactly where we saw it stand.

What waits in C code (``time.sleep``, a lock) goes on waiting: nothing can wake it from outside. The
exception is raised when it returns.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from .running import Running
from .stacks import Fall, fall

if TYPE_CHECKING:
    import asyncio

_set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_exception.argtypes = (ctypes.c_ulong, ctypes.py_object)
_interrupt = ctypes.py_object(KeyboardInterrupt)


class Strikes(Running):
    """The interrupts of one subshell, made by its thread."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, remembered: set[int], meant: set[int]
    ) -> None:
        """Take what ``Running`` takes, and the numbers of requests that were interrupted."""
        super().__init__(loop, remembered)
        self._meant = meant
        self._checked = 0  # the number that was looked for last
        self._alarm: tuple[int, int] | None = None

    def check(self, number: int) -> None:
        """Raise ``error()`` if this request was interrupted before it began."""
        self._checked = number
        if number in self._meant:
            raise self.error()

    def finish(self) -> None:
        """Clean up after ``call``; interrupts of that request are over."""
        super().finish()
        self._meant.discard(self._checked)

    def strike(self, number: int) -> None:
        """Interrupt this request if it runs here. Called by the main thread's signal handler."""
        telling = self.telling
        if self._number != number or isinstance(telling, KeyboardInterrupt):
            return
        self.cut_short = telling is not None
        match fall(sys._current_frames().get(self._ident)):  # noqa: SLF001 - there is no other way
            case Fall.WAIT:
                self.remembered.add(self._ident)
            case Fall.CANCEL:
                self._cancel()
            case Fall.RAISE | Fall.RAISE_IN_CALLBACK:
                _set_exception(self._ident, _interrupt)
            case Fall.NOTHING:
                pass
        self._ring()

    def watched(self) -> tuple[int, ...]:
        """Give a descriptor that is readable once this thread was struck, from here on."""
        if self._alarm is None:
            self._alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(BlockingIOError):
            os.read(self._alarm[0], 4096)  # it rang for an earlier one
        return self._alarm[:1]

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self._alarm or ():
            os.close(fd)
        self._alarm = None

    def _ring(self) -> None:
        if self._alarm is not None:
            with suppress(BlockingIOError):
                os.write(self._alarm[1], b"!")
