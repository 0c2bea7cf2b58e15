"""What is put right among a woken snapshot's objects: those that wait for threads that are gone.

One pass over all objects. Their types are looked at, and nothing else: ``isinstance`` asks an
object's ``__class__``, and runs the user's code for those that make one up.
"""

from __future__ import annotations

import gc
import socket
import sys
import threading
from contextlib import suppress
from itertools import compress
from typing import TYPE_CHECKING, Any

from . import processes, sharing
from .tally import Tally

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from .processes import Past

    _Remedy = Callable[[Any, Tally], None]

_GONE = "the interpreter died and was restored; the thread that ran this did not survive that"
_WATCHERS = ("asyncio-waitpid-", "waitpid-")
"""How asyncio names threads that wait for a child. What they wait for is put right."""


def put_right(ours: asyncio.AbstractEventLoop, past: Past, threads: tuple[str, ...]) -> Tally:
    """Put right what there is; ``ours`` is the event loop that is right already.

    ``threads`` are the names of those that are gone.
    """
    tally = Tally()
    tally.back(*(name for name in threads if name.startswith(_WATCHERS)))
    _imports()
    remedies = _remedies(ours, past)
    things = gc.get_objects()
    # There may be many millions: this loop is C's. Types are known by their ids, for their hashes
    # may be the user's code.
    found = list(compress(things, map(remedies.__contains__, map(id, map(type, things)))))
    del things
    for thing in found:
        with suppress(Exception):  # an object that was half made when the snapshot was
            remedies[id(type(thing))](thing, tally)
    _tqdm(tally)
    return tally


def _remedies(ours: asyncio.AbstractEventLoop, past: Past) -> dict[int, _Remedy]:
    """Give what is done about each type, by its id, of the libraries that are loaded.

    What is derived from a type is treated like it.
    """

    def renew_loop(loop: Any, tally: Tally) -> None:
        if loop is not ours:
            _loop(loop, tally)

    found: dict[int, _Remedy] = {}
    for module, name, remedy in (
        ("threading", "Condition", _condition),
        ("asyncio.selector_events", "BaseSelectorEventLoop", renew_loop),
        ("concurrent.futures.thread", "ThreadPoolExecutor", _thread_pool),
        ("concurrent.futures.thread", "_WorkItem", _work_item),
        ("logging.handlers", "QueueListener", _listener),
        *processes.remedies(past),
        *sharing.remedies(),
    ):
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type):
            for each in _with_subclasses(kind):
                found[id(each)] = remedy
    return found


def _with_subclasses(kind: type) -> Iterator[type]:
    yield kind
    subclasses: list[type] = type.__subclasses__(kind)
    for each in subclasses:
        yield from _with_subclasses(each)


def _imports() -> None:
    """Let modules be imported that a thread that is gone was importing."""
    locks = getattr(sys.modules["importlib._bootstrap"], "_module_locks", {})
    for name, reference in list(locks.items()):
        lock = reference()
        if lock is not None and lock.owner is not None:
            locks.pop(name, None)
            spec = getattr(sys.modules.get(name), "__spec__", None)
            if getattr(spec, "_initializing", False):
                del sys.modules[name]


def _condition(condition: Any, _: Tally) -> None:
    """Forget who waits: a wake-up that goes to a thread that is gone is lost for the others."""
    condition._waiters.clear()  # noqa: SLF001 - nobody else can


def _thread_pool(pool: Any, tally: Tally) -> None:
    """Let a pool start new threads: it counts those that it believes to be idle."""
    tally.back(*(thread.name for thread in pool._threads))  # noqa: SLF001
    pool._threads.clear()  # noqa: SLF001
    pool._idle_semaphore = threading.Semaphore(0)  # noqa: SLF001
    for _ in range(min(pool._work_queue.qsize(), pool._max_workers)):  # noqa: SLF001
        pool._adjust_thread_count()  # noqa: SLF001 - somebody waits for what is in the queue


def _work_item(item: Any, tally: Tally) -> None:
    """Tell whoever waits for what a thread was doing that nobody does it any more."""
    if item.future.running():
        broken = sys.modules["concurrent.futures.thread"].BrokenThreadPool
        item.future.set_exception(broken(_GONE))
        tally.add("task of a thread pool", "tasks of thread pools")


def _listener(listener: Any, tally: Tally) -> None:
    if listener._thread is not None:  # noqa: SLF001
        tally.back(listener._thread.name)  # noqa: SLF001
        listener._thread = None  # noqa: SLF001
        listener.start()


def _tqdm(tally: Tally) -> None:
    """Let progress bars start a new thread that looks after them."""
    kind: Any = getattr(sys.modules.get("tqdm.std"), "tqdm", None)
    monitor = getattr(kind, "monitor", None)
    if monitor is not None:
        tally.back(monitor.name)
        kind.monitor = None


def _loop(loop: Any, tally: Tally) -> None:
    """Give an event loop that is not ours new ends of the socket with which it wakes itself."""
    if loop.is_closed():
        return
    for end in (loop._ssock, loop._csock):  # noqa: SLF001
        with suppress(KeyError, ValueError):
            loop._selector.unregister(end)  # noqa: SLF001
        end.close()
        tally.renewed += 1
    loop._ssock, loop._csock = socket.socketpair()  # noqa: SLF001
    loop._ssock.setblocking(False)  # noqa: SLF001
    loop._csock.setblocking(False)  # noqa: SLF001
    loop._add_reader(loop._ssock.fileno(), loop._read_from_self)  # noqa: SLF001
    loop._thread_id = None  # noqa: SLF001 - a thread that ran it is gone
