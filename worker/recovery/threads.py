"""Which threads there are besides the main one, and what a snapshot without them would be worth.

A fork copies one thread. Another that ran at that moment may have held a lock, or been half way
through a change: nothing that it used can be trusted in the copy. One that sleeps has left
things in order, and is merely not there. Whether that matters depends on whose thread it is: some
libraries notice that their threads are gone and start new ones; others wait for them for ever.

What a thread does is read from /proc, where the system tells in which call it sleeps; whose it is
follows from the return addresses on its stack. Whoever is not known is taken to be unsafe.
"""

from __future__ import annotations

import os
import platform
import struct
import threading
import time
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING

from ...shared.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .libraries import Libraries, Library

SUBSHELL = "subshell-"
"""How the names of threads begin that nobody misses: a client's requests go to the main shell."""
_STACK = 1 << 14  # bytes of a stack that are looked at
_FOR_A_LOOK = 0.0002  # seconds for which the GIL is let go of

# In these system calls a thread waits for somebody else, and holds nothing meanwhile. Numbers of
# the kernel's own tables.
_WAITS = {
    "x86_64": frozenset({
        0,  # read
        7, 23, 270, 271,  # poll, select, pselect6, ppoll
        34,  # pause
        35, 230,  # nanosleep, clock_nanosleep
        43, 288,  # accept, accept4
        45, 47,  # recvfrom, recvmsg
        61, 247,  # wait4, waitid
        128,  # rt_sigtimedwait
        202, 449,  # futex, futex_waitv
        219,  # restart_syscall
        232, 281, 441,  # epoll_wait, epoll_pwait, epoll_pwait2
    }),
    "aarch64": frozenset({
        63,  # read
        72, 73,  # pselect6, ppoll
        101, 115,  # nanosleep, clock_nanosleep
        202, 242,  # accept, accept4
        207, 212,  # recvfrom, recvmsg
        260, 95,  # wait4, waitid
        137,  # rt_sigtimedwait
        98, 449,  # futex, futex_waitv
        128,  # restart_syscall
        22, 441,  # epoll_pwait, epoll_pwait2
    }),
}  # fmt: skip

_SAFE = (
    "libopenblas", "libscipy_openblas", "libgomp", "libblis", "libarrow", "libtbb", "tbbpool",
    "omppool", "workqueue", "interpreter.cpython", "libjemalloc", "cv2.",
)  # fmt: skip
"""Beginnings of the names of libraries that start new threads when theirs are gone."""

_NOBODY = ("libc.so", "libc-", "libpthread", "ld-linux", "libstdc++", "libgcc_s", "libpython",
           "linux-vdso", "libm.so", "libm-")  # fmt: skip
"""Libraries whose frames are on everybody's stack."""


class Found(NamedTuple):
    """The threads besides the main one."""

    busy: str = ""
    """Why no snapshot can be made now; it may be possible in a moment. "" if it can."""
    spins: bool = False
    """... for the thread is a library's own, which waits a while for more work before it rests."""
    unsafe: str = ""
    """The library whose threads cannot be done without; "" if there is none."""
    lost: tuple[str, ...] = ()
    """Names of Python's threads, which a snapshot does not have."""


class Threads:
    """Looks at the threads of this process. Used by the main thread."""

    def __init__(self, libraries: Libraries) -> None:
        self._libraries = libraries
        self._waits = _WAITS.get(platform.machine())
        self._owners: dict[int, str] = {}  # of native threads, by their ids
        self._seen: dict[int, str] = {}  # how long each had run when it was looked at

    def look(self) -> Found:
        """Tell which threads there are now."""
        others = _others()
        self._seen = {}
        if not others:
            self._owners.clear()
            return Found()
        if self._waits is None:
            return Found(unsafe=f"a processor ({platform.machine()}) whose threads are not known")
        python = {thread.native_id: thread for thread in threading.enumerate()}
        before = {tid: _time_run(tid) for tid in others}
        if any(tid in python for tid in others):
            # A thread that waits for the GIL sleeps like any other. Let it have it, and see.
            time.sleep(_FOR_A_LOOK)
        calls = {tid: _call(tid) for tid in others}
        for tid, call in calls.items():
            name = _name(python.get(tid), tid)
            if call is None:
                continue  # it has ended
            self._seen[tid] = before[tid]
            if call.number not in self._waits or _time_run(tid) != before[tid]:
                return Found(busy=f"{name} is running", spins=tid not in python)
        native = {tid: call for tid, call in calls.items() if tid not in python and call}
        unsafe = self._unsafe(native)
        lost = tuple(
            thread.name
            for tid, thread in python.items()
            if calls.get(tid or 0) and not thread.name.startswith(SUBSHELL)
        )
        return Found(unsafe=unsafe, lost=lost)

    def have_rested(self) -> bool:
        """Tell whether none has run since the last look, and none has been started."""
        return all(self._seen.get(tid) == _time_run(tid) for tid in _others())

    def _unsafe(self, native: dict[int, _Call]) -> str:
        self._owners = {tid: owner for tid, owner in self._owners.items() if tid in native}
        unknown = [tid for tid in native if tid not in self._owners]
        if unknown:
            places = _Places(self._libraries.mapped())
            for tid in unknown:
                self._owners[tid] = _owner(places.on_stack(native[tid].stack))
        return next((owner for owner in self._owners.values() if owner), "")


class _Call(NamedTuple):
    """A system call that a thread is in."""

    number: int
    """-1: in none, but not running either; -2: it runs."""
    stack: int
    """Address of the top of its stack."""


def _others() -> list[int]:
    """List the threads besides this one, by their ids."""
    every = {int(name) for name in os.listdir("/proc/self/task")}  # noqa: PTH208
    return sorted(every - {threading.get_native_id()})


def _call(tid: int) -> _Call | None:
    try:
        text = Path(f"/proc/self/task/{tid}/syscall").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError:  # the system does not let anybody look
        return _Call(-2, 0)
    if text.startswith("running"):
        return _Call(-2, 0)
    fields = text.split()
    return _Call(int(fields[0]), int(fields[-2], 16))


def _time_run(tid: int) -> str:
    """Give something that changes whenever the thread runs."""
    try:
        text = Path(f"/proc/self/task/{tid}/schedstat").read_text(encoding="ascii")
    except OSError:
        return ""
    time_run, _, slices = text.split()
    return f"{time_run} {slices}"


def _name(thread: threading.Thread | None, tid: int) -> str:
    return f"thread {thread.name!r}" if thread is not None else f"a native thread ({tid})"


class _Places:
    """Which library an address belongs to."""

    def __init__(self, libraries: Iterable[Library]) -> None:
        spans = sorted((*span, library) for library in libraries for span in library.code)
        self._starts = [start for start, _, _ in spans]
        self._spans = spans

    def on_stack(self, stack: int) -> list[Library]:
        """Give the libraries that the words on top of a stack point into, the newest first."""
        try:
            with Path("/proc/self/mem").open("rb", buffering=0) as memory:
                memory.seek(stack)
                data = memory.read(_STACK)
        except (OSError, ValueError, OverflowError):
            return []
        words = struct.unpack(f"={len(data) // 8}Q", data[: len(data) // 8 * 8])
        found: list[Library] = []
        for word in words:
            at = bisect_right(self._starts, word) - 1
            if at >= 0 and word < self._spans[at][1] and self._spans[at][2] not in found:
                found.append(self._spans[at][2])
        return found


def _owner(found: list[Library]) -> str:
    """Name the library that a native thread belongs to; "" for one that can be done without."""
    own = [lib for lib in found if lib.path and not lib.name.startswith(_NOBODY)]
    if any(lib.name.startswith(_SAFE) for lib in own):
        return ""
    return own[-1].name if own else "a library that could not be found out"
