"""The life of a snapshot: make itself harmless, wait, and become the worker or end.

Everything here runs in the forked process, in its only thread, with signals blocked. While it
waits, no Python runs and no page is touched, so that its memory stays shared.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...shared.parking import PROCESS_NAME, Awake, Wake, receive, send
from ..options import Descriptors
from ..process import die_with_parent, rename, volunteer
from . import canary, descriptors, locks, remedies

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from ..attachment import Attachment
    from .descriptors import Parted
    from .locks import Lock

SIGNALS = frozenset({
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
    signal.SIGCHLD,
})  # fmt: skip
"""Blocked from before the fork until a snapshot is awake."""

_OOM_SCORE = 200
"""Of 1000: less than the worker's, so that the system takes the worker first."""
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


class Before(NamedTuple):
    """What a fork does not copy, noted before it."""

    random: object
    """The state of the random module, which forgets it in a forked process."""
    timers: tuple[tuple[float, float], ...]
    locks: tuple[Lock, ...]
    threads: tuple[str, ...]
    """Names of threads that were there."""


def note(threads: tuple[str, ...]) -> Before:
    """Note what a fork does not copy."""
    return Before(
        random.getstate(),
        tuple(map(signal.getitimer, _TIMERS)),
        locks.held(descriptors.regular_files()),
        threads,
    )


class Snapshot:
    """The forked process."""

    def __init__(
        self,
        end: socket.socket,
        before: Before,
        attachment: Attachment,
        loop: asyncio.AbstractEventLoop,
        set_count: Callable[[int], None],
        known: dict[int, tuple[int, int]],
    ) -> None:
        self._end = end
        self._before = before
        self._attachment = attachment
        self._loop = loop
        self._set_count = set_count
        self._known = known
        self._parted = descriptors.Parted()
        self._name = b""

    def park(self, say: int) -> None:
        """Become harmless; write '+' or why this cannot be into ``say``, and wait to be woken.

        Returns in a process that is the worker. Does not return otherwise.
        """
        try:
            refused = self._settle(say)
            os.write(say, refused.encode()[:500] or b"+")
            os.close(say)
            if refused:
                os._exit(0)
            message, fds = receive(self._end, len(Descriptors._fields))
            if not isinstance(message, Wake) or len(fds) != len(Descriptors._fields):
                os._exit(1)
            self._wake(message, Descriptors(*fds))
        except EOFError:
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - half a worker must not go on
            with suppress(BaseException):
                send(self._end, Awake(f"{type(error).__name__}: {error}", ()))
            os._exit(1)

    def _settle(self, say: int) -> str:
        os.setpgid(0, 0)  # what ends the worker's group is not meant for this one
        self._name = rename(PROCESS_NAME)
        volunteer(_OOM_SCORE)
        random.setstate(self._before.random)  # type: ignore[arg-type]
        ours = self._attachment.detach() | {say, self._end.fileno()}
        loop = self._loop
        pair = loop._ssock.fileno(), loop._csock.fileno()  # type: ignore[attr-defined] # noqa: SLF001
        self._parted = descriptors.part(ours, (pair,), self._known)
        return self._parted.refused

    def _wake(self, wake: Wake, fresh: Descriptors) -> None:
        die_with_parent(wake.parent)
        volunteer()
        rename(self._name)
        self._attachment.attach(fresh)
        unlocked = locks.take_again(self._before.locks)
        written = descriptors.changed(self._parted.files)
        _forget_helpers()
        counts = remedies.put_right(self._loop)
        canary.check()
        for timer, (seconds, interval) in zip(_TIMERS, self._before.timers, strict=True):
            signal.setitimer(timer, seconds, interval)
        while signal.sigtimedwait(SIGNALS, 0) is not None:
            pass  # sent while this was parked, and meant for nobody
        self._set_count(wake.next_count)
        told = losses(self._parted, self._before.threads, counts, unlocked, written)
        send(self._end, Awake("", tuple(told)))
        self._end.close()


def losses(
    parted: Parted,
    threads: tuple[str, ...],
    counts: dict[str, int],
    unlocked: list[str],
    written: list[str],
) -> list[str]:
    """Tell in words what has not come back."""
    told = []
    if threads:
        told.append(f"Threads that are gone: {', '.join(sorted(threads))}.")
    if parted.connections:
        one = parted.connections == 1
        told.append(
            f"{parted.connections} connection{'' if one else 's'} (sockets, pipes) that "
            f"{'is' if one else 'are'} closed now."
        )
    for name, number in sorted(counts.items()):
        if name.startswith(("child", "process pool")):
            told.append(f"{number} {name}{'' if number == 1 else 's'} that ended with it.")
    told += [f"{path} was locked, and can only be read now." for path in unlocked]
    told += [f"{path} was written to since, and that stays." for path in written]
    if _shares_memory():
        told.append("Memory that is shared with other processes was not turned back.")
    return told


def _shares_memory() -> bool:
    """Tell whether the user's code shares memory that can be written to."""
    with suppress(OSError):
        for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
            fields = line.split(maxsplit=5)
            if fields[1].startswith("rw") and fields[1].endswith("s"):
                name = fields[5] if len(fields) > 5 else ""  # noqa: PLR2004
                if not name.startswith("/memfd:bulkhead-"):
                    return True
    return False


def _forget_helpers() -> None:
    """Let multiprocessing start its helpers anew: they were the dead worker's."""
    for name in ("multiprocessing", "multiprocess"):
        if (tracker := sys.modules.get(f"{name}.resource_tracker")) is not None:
            vars(tracker._resource_tracker).update(_fd=None, _pid=None)  # noqa: SLF001
        if (server := sys.modules.get(f"{name}.forkserver")) is not None:
            vars(server._forkserver).update(  # noqa: SLF001 - as above
                _forkserver_address=None, _forkserver_alive_fd=None, _forkserver_pid=None
            )
