"""Where a thread stands, told from its stack: whether an interrupt may be raised there.

Wanted: an interrupt stops the request that it was meant for, at any bytecode of the user's code;
it never hits a later request (G27), and never tears a record that is being written (G28).

What does not work:

- Python's default handler. It raises wherever the main thread is: between two cells, in the middle
  of a write, in the clean-up after a cell.
- A flag 'user code runs now', set before the cell and cleared after it. The signal can come after
  the user's code returned and before the flag is cleared, and then hits whatever comes next.
- Blocking the signal around each write. Two system calls for every ``print``.

So whoever interrupts looks at the stack. Beneath the frame of a function that runs user code runs
the user's code, and nothing else: no such frame, no exception. If a protected function (one that
writes or reads a frame) is nearer than that, the interrupt is remembered, and whoever called the
protected function raises it.

While a coroutine waits, the innermost frames are the event loop's. Raising there would break the
loop, so the cell's task is cancelled instead, and reports a KeyboardInterrupt. And between making
IPython's coroutine for a cell and running it, an exception would leave it to the garbage collector,
which complains in a later cell; so the interrupt is remembered there, too, and raised where the
user's code begins.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import inspect
import os
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

T = TypeVar("T")

_protected: set[CodeType] = set()
_fragile: set[CodeType] = set()
_deferring: dict[CodeType, CodeType] = {}
_running: set[CodeType] = set()
_callbacks: set[CodeType] = set()


class Fall(Enum):
    """What an interrupt does that falls on a stack."""

    NOTHING = "nothing"  # no user code runs
    WAIT = "wait"  # it is remembered
    CANCEL = "cancel"  # the cell's task is cancelled: it waits for something
    RAISE = "raise"  # an exception is raised
    RAISE_IN_CALLBACK = "raise in a callback"  # ... in a task that is not the cell's


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


def runs_user_code(function: Callable[..., T]) -> Callable[..., T]:
    """Mark a function beneath which the user's code runs."""
    _running.add(function.__code__)
    return function


def calls_back(function: Callable[..., T]) -> Callable[..., T]:
    """Mark a function of ours that an event loop calls, and beneath which the user's code runs."""
    _callbacks.add(function.__code__)
    return function


def fall(frame: FrameType | None) -> Fall:
    """Tell what an interrupt does that finds a thread in this frame."""
    if frame is not None and frame.f_code in _fragile:
        return _wait(frame)
    callee: FrameType | None = None
    passed: set[CodeType] = set()
    in_callback = False
    while frame is not None:
        code = frame.f_code
        if code in _protected or _deferring.get(code, code) not in passed | {code}:
            return _wait(frame)
        if code is _CALLBACK:
            in_callback = _is_user_s(callee) or not passed.isdisjoint(_callbacks)
        elif code is _LOOP and not in_callback and _is_beneath(frame):
            return Fall.CANCEL
        elif code in _running:
            return Fall.RAISE_IN_CALLBACK if in_callback else Fall.RAISE
        passed.add(code)
        callee, frame = frame, frame.f_back
    return Fall.NOTHING


def in_user_callback(frame: FrameType | None) -> bool:
    """Tell whether the event loop runs something of the user's, and not the loop itself."""
    callee = None
    while frame is not None:
        if frame.f_code is _CALLBACK:
            return _is_user_s(callee)
        callee, frame = frame, frame.f_back
    return False


def _wait(frame: FrameType) -> Fall:
    return Fall.WAIT if _is_beneath(frame) else Fall.NOTHING


def _is_beneath(frame: FrameType | None) -> bool:
    """Tell whether a function that runs user code is in the stack."""
    while frame is not None and frame.f_code not in _running:
        frame = frame.f_back
    return frame is not None


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


_ASYNCIO = os.path.dirname(asyncio.__file__)  # noqa: PTH120 - to be compared with a string
_OURS = os.path.dirname(__file__)  # noqa: PTH120 - as above
# What Python calls when something is let go of: an exception there is printed, and is over.
for _container in (WeakSet, WeakKeyDictionary, WeakValueDictionary):
    fragile(getattr(_container(), "_remove"))  # noqa: B009 - the type stubs do not know it
_CALLBACK = asyncio.events.Handle._run.__code__  # noqa: SLF001
_LOOP = asyncio.BaseEventLoop.run_forever.__code__
