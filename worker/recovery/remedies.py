"""What is put right among a woken snapshot's objects: those that wait for threads that are gone.

One pass over all objects. Their type is looked at, and nothing else: ``isinstance`` asks an
object's ``__class__``, and runs the user's code for those that make one up.
"""

from __future__ import annotations

import asyncio.selector_events
import gc
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_KILLED = -9
_GONE = "the interpreter died and was restored; the processes of this pool did not survive that"


class Counts(dict[str, int]):
    """How many of what kind were put right, by a name that a user knows."""

    def add(self, name: str) -> None:
        """Count one more."""
        self[name] = self.get(name, 0) + 1


def put_right(ours: asyncio.AbstractEventLoop) -> Counts:
    """Put right what there is; ``ours`` is the event loop that is right already."""
    remedies = _remedies(ours)
    counts = Counts()
    for thing in gc.get_objects():
        remedy = remedies.get(type(thing))
        if remedy is not None:
            with suppress(Exception):  # an object that was half made when the snapshot was
                remedy(thing, counts)
    return counts


def _remedies(ours: asyncio.AbstractEventLoop) -> dict[type, Callable[[Any, Counts], None]]:
    """Give what is done about each type, of the libraries that are loaded."""

    def renew_loop(loop: Any, counts: Counts) -> None:
        if loop is not ours:
            _loop(loop, counts)

    found: dict[type, Callable[[Any, Counts], None]] = {
        threading.Condition: _condition,
        asyncio.SelectorEventLoop: renew_loop,
    }
    for module, name, remedy in (
        ("concurrent.futures.thread", "ThreadPoolExecutor", _thread_pool),
        ("concurrent.futures.process", "ProcessPoolExecutor", _process_pool),
        ("subprocess", "Popen", _popen),
        ("multiprocessing.pool", "Pool", _pool),
        ("multiprocessing.pool", "ThreadPool", _pool),
        ("multiprocess.pool", "Pool", _pool),
        ("multiprocess.pool", "ThreadPool", _pool),
        ("multiprocessing.context", "ForkProcess", _process),
        ("multiprocessing.context", "SpawnProcess", _process),
        ("multiprocessing.context", "ForkServerProcess", _process),
        ("logging.handlers", "QueueListener", _listener),
    ):
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type):
            found[kind] = remedy
    return found


def _condition(condition: Any, _: Counts) -> None:
    """Forget who waits: a wake-up that goes to a thread that is gone is lost for the others."""
    condition._waiters.clear()  # noqa: SLF001 - nobody else can


def _thread_pool(pool: Any, counts: Counts) -> None:
    """Let a pool start new threads: it counts those that it believes to be idle."""
    if pool._threads:  # noqa: SLF001
        counts.add("thread pool")
    pool._threads.clear()  # noqa: SLF001
    pool._idle_semaphore = threading.Semaphore(0)  # noqa: SLF001


def _process_pool(pool: Any, counts: Counts) -> None:
    """Break a pool whose processes were the dead worker's: it would wait for them."""
    if pool._processes:  # noqa: SLF001
        counts.add("process pool")
        pool._broken = _GONE  # noqa: SLF001
        pool._executor_manager_thread = None  # noqa: SLF001
        pool._processes = {}  # noqa: SLF001


def _pool(pool: Any, counts: Counts) -> None:
    if pool._state == "RUN":  # noqa: SLF001
        counts.add("process pool")
        pool._state = "TERMINATE"  # noqa: SLF001 - apply() and the like raise, and do not wait
        with suppress(AttributeError):
            pool._terminate.cancel()  # noqa: SLF001 - the finalizer would join threads and processes


def _popen(process: Any, counts: Counts) -> None:
    """Say how a child ended that was the dead worker's: asking the system would tell 'well'."""
    if process.returncode is None and process.pid is not None:
        counts.add("child process")
        process.returncode = _KILLED


def _process(process: Any, counts: Counts) -> None:
    popen = process._popen  # noqa: SLF001
    if popen is not None and popen.returncode is None:
        counts.add("child process")
        popen.returncode = _KILLED


def _listener(listener: Any, counts: Counts) -> None:
    if listener._thread is not None:  # noqa: SLF001
        counts.add("logging thread")
        listener._thread = None  # noqa: SLF001
        listener.start()


def _loop(loop: Any, _: Counts) -> None:
    """Give an event loop that is not ours new ends of the socket with which it wakes itself."""
    if loop.is_closed():
        return
    for end in (loop._ssock, loop._csock):  # noqa: SLF001
        with suppress(KeyError, ValueError):
            loop._selector.unregister(end)  # noqa: SLF001
        end.close()
    loop._ssock, loop._csock = socket.socketpair()  # noqa: SLF001
    loop._ssock.setblocking(False)  # noqa: SLF001
    loop._csock.setblocking(False)  # noqa: SLF001
    loop._add_reader(loop._ssock.fileno(), loop._read_from_self)  # noqa: SLF001
    loop._thread_id = None  # noqa: SLF001 - a thread that ran it is gone
