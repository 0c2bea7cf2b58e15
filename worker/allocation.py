"""The memory limit where memory is asked for: what is too much is refused, and Python says so.

RLIMIT_DATA counts what a process may write to and shares with nobody. Whoever asks for more gets
none: numpy, lists and bytes raise MemoryError, and what was there before is as it was. (RLIMIT_AS
counts address space, of which CUDA and Java reserve more than any machine has.) It is blind to
children, to shared memory and to mapped files: the supervisor watches these.

Stacks of threads count whole although they are hardly touched, so their size is added to the limit,
also for the threads that a cell starts. The limit holds while a cell runs. It is lifted before an
error is shown, because showing it takes memory, too; and a little is always left, or ``del big``
could not be compiled. A little, because cells that are over too soon to be watched would each take
what is left, and pass the limit step by step.
"""

from __future__ import annotations

import _posixsubprocess
import os
import resource
import subprocess
import threading
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..shared import sizes
from ..shared.limits import LIMIT_OPTION
from . import heap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SPARE = 32 << 20  # bytes beyond the limit that cells get in the end
_LITTLE = 2 << 20  # bytes that a cell gets when these are used up, too
_STACK = 8 << 20  # bytes of a thread's stack, where the system names no limit
_BEGINNING = 1 << 20  # bytes that a thread takes before its first line; refused, it would hang
_NEAR = 0.7  # of the limit: from here on it matters what is counted and not used
_KIB = 1024
# What starts a program; which of them subprocess takes depends on the version.
_STARTS = (
    (_posixsubprocess, "fork_exec"), (subprocess, "_fork_exec"),
    (os, "posix_spawn"), (os, "posix_spawnp"),
)  # fmt: skip


class Allocation:
    """The limit on what this process may allocate."""

    def __init__(self, limit: int) -> None:
        """Take the limit in bytes; 0 for none."""
        self._limit = limit if hasattr(resource, "RLIMIT_DATA") else 0
        self._held = 0  # 0: it does not hold now
        self._cells = 0  # that run
        self._lock = threading.Lock()
        self._given = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        if self._limit:
            self._given = resource.getrlimit(resource.RLIMIT_DATA)
            self._free_children()
            self._follow_threads()

    def hold(self) -> None:
        """Let the limit hold: a cell begins."""
        if self._limit:
            with self._lock:
                self._cells += 1
                self._hold()

    def lift(self) -> None:
        """Let it hold no more, unless another cell runs: a cell has ended."""
        if self._limit:
            with self._lock:
                self._cells -= 1
                if not self._cells:
                    self.free()

    def _hold(self) -> None:
        if self._limit:
            data, threads = _data_and_threads()
            limit = self._limit + threads * _thread()
            if data > limit * _NEAR:
                # Who fills the holes again passes the limit by as much: the supervisor sees that.
                limit += heap.give_back()
            self._held = max(limit, min(data, limit) + _SPARE, data + _LITTLE)
            self._set(self._held)

    def free(self) -> None:
        """Let it hold no more."""
        if self._limit:
            self._held = 0
            self._set(self._given[0])

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Let it hold no more for a while: an error is shown, perhaps in the middle of a cell."""
        held = self._held
        self.free()
        try:
            yield
        finally:
            if held:
                self._hold()

    def _free_children(self) -> None:
        """Start other programs without the limit, which they would inherit each for itself.

        It is for the interpreter and its children together, and only the supervisor sees them all.
        Forked children free themselves; a program that is executed cannot.
        """
        for module, name in _STARTS:
            start = getattr(module, name, None)
            if start is not None:
                setattr(module, name, self._without_limit(start))

    def _without_limit(self, start: Callable[..., int]) -> Callable[..., int]:
        @wraps(start)
        def start_without_limit(*args: Any, **options: Any) -> int:
            try:
                self._set(self._given[0])
                return start(*args, **options)
            finally:
                if self._held:
                    self._set(self._held)

        return start_without_limit

    def _follow_threads(self) -> None:
        """Let each thread that a cell starts bring the room for its stack."""
        start = threading.Thread.start

        @wraps(start)
        def start_with_stack(thread: threading.Thread) -> None:
            if self._held:
                self._held += _thread()
                self._set(self._held)
            start(thread)

        threading.Thread.start = start_with_stack  # type: ignore[method-assign,assignment]

    def explain(self, error: MemoryError) -> None:
        """Say in a note which limit it was, unless the error does."""
        if self._limit and LIMIT_OPTION not in str(error):
            limit, used = sizes.show(self._limit), sizes.show(_data_and_threads()[0])
            error.add_note(
                f"The kernel's memory limit is {limit} ({LIMIT_OPTION}), of which {used} are in "
                "use now. Variables that were there before are still there; `del` some, or "
                "restart the kernel with a higher limit."
            )

    def _set(self, soft: int) -> None:
        hard = self._given[1]
        if hard != resource.RLIM_INFINITY and (soft == resource.RLIM_INFINITY or soft > hard):
            soft = hard
        with suppress(ValueError, OSError):  # the user's code has lowered the hard limit
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _thread() -> int:
    """Give what a new thread reserves, in bytes."""
    stack, _ = resource.getrlimit(resource.RLIMIT_STACK)
    usual = _STACK if stack == resource.RLIM_INFINITY else stack
    return (threading.stack_size() or usual) + _BEGINNING


def _data_and_threads() -> tuple[int, int]:
    """Read how much of what counts is in use, in bytes, and how many threads there are."""
    data, threads = 0, 1
    with suppress(OSError):
        for line in Path("/proc/self/status").read_bytes().split(b"\n"):
            if line.startswith(b"VmData:"):
                data = int(line.split()[1]) * _KIB
            elif line.startswith(b"Threads:"):
                threads = int(line.split()[1])
    return data, threads
