"""What is put right about things that processes share: queues, semaphores, shared memory.

Their state is in memory that the dead worker went on changing. Those who shared it have ended with
it, so that the state can be the one that this process remembers.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .tally import Tally

MULTIPROCESSING = ("multiprocessing", "multiprocess")
LOKY = ("joblib.externals.loky", "loky")


def remedies() -> list[tuple[str, str, Callable[[Any, Tally], None]]]:
    """Give what is done about each type: its module, its name, the remedy."""
    found: list[tuple[str, str, Callable[[Any, Tally], None]]] = []
    for name in MULTIPROCESSING:
        found += [
            (f"{name}.queues", "Queue", _queue),
            (f"{name}.synchronize", "SemLock", _semaphore),
            (f"{name}.shared_memory", "SharedMemory", _shared_memory),
        ]
    return [*found, *((f"{name}.backend.synchronize", "SemLock", _semaphore) for name in LOKY)]


def trackers() -> frozenset[int]:
    """Give the descriptors of pipes to processes that remove shared memory when nobody writes.

    A snapshot keeps them as they are: they end with the worker's group, and must not tidy up first.
    """
    names = [f"{name}.resource_tracker" for name in MULTIPROCESSING]
    names += [f"{name}.backend.resource_tracker" for name in LOKY]
    found = [
        getattr(getattr(sys.modules.get(name), "_resource_tracker", None), "_fd", None)
        for name in names
    ]
    return frozenset(fd for fd in found if fd is not None)


def forget_helpers() -> None:
    """Let multiprocessing start its helpers anew: they were the dead worker's.

    The pipes to them stay open: what they look after is looked after by new ones.
    """
    for name in MULTIPROCESSING:
        if (tracker := sys.modules.get(f"{name}.resource_tracker")) is not None:
            vars(tracker._resource_tracker).update(_fd=None, _pid=None)  # noqa: SLF001
        if (server := sys.modules.get(f"{name}.forkserver")) is not None:
            vars(server._forkserver).update(  # noqa: SLF001 - as above
                _forkserver_address=None, _forkserver_alive_fd=None, _forkserver_pid=None
            )
    for name in LOKY:
        if (tracker := sys.modules.get(f"{name}.backend.resource_tracker")) is not None:
            vars(tracker._resource_tracker).update(_fd=None, _pid=None)  # noqa: SLF001


def _queue(queue: Any, tally: Tally) -> None:
    """Let a queue start a new thread that writes what is put into it."""
    if queue._thread is None:  # noqa: SLF001
        return
    tally.back(queue._thread.name)  # noqa: SLF001
    waiting = list(queue._buffer)  # noqa: SLF001
    queue._reset(after_fork=True)  # noqa: SLF001 - as in a child that multiprocessing forks
    if waiting:
        queue._buffer.extend(waiting)  # noqa: SLF001
        queue._start_thread()  # noqa: SLF001


def _semaphore(lock: Any, _tally: Tally) -> None:
    """Give a lock the state that it had: its state is in memory that is shared.

    So much is known: how often this process had taken it. Nobody else can have it by now.
    """
    semaphore = lock._semlock  # noqa: SLF001
    # A semaphore without bounds does not tell what it began with.
    if type(lock).__name__ != "Semaphore":
        free = max(0, semaphore.maxvalue - max(0, semaphore._count()))  # noqa: SLF001
        libc, handle = ctypes.CDLL(None), ctypes.c_void_p(semaphore.handle)
        value = ctypes.c_int()
        libc.sem_getvalue(handle, ctypes.byref(value))
        for _ in range(value.value, free):
            libc.sem_post(handle)
        for _ in range(free, value.value):
            libc.sem_trywait(handle)
    if semaphore.name is not None and hasattr(type(lock), "_cleanup"):
        module = type(lock).__module__.replace("synchronize", "resource_tracker")
        sys.modules[module].register(semaphore.name, "semaphore")


def _shared_memory(memory: Any, _tally: Tally) -> None:
    """Tell a new tracker of shared memory that there is some: the old one went with the worker."""
    if getattr(memory, "_track", True) and memory._mmap is not None:  # noqa: SLF001
        module = type(memory).__module__.replace("shared_memory", "resource_tracker")
        sys.modules[module].register(memory._name, "shared_memory")  # noqa: SLF001
