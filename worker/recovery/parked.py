"""The life of a snapshot: make itself harmless, wait, and become the worker or end.

Everything here runs in the forked process, in its only thread, with signals blocked. While it
waits, no Python runs and no page is touched, so that its memory stays shared.
"""

from __future__ import annotations

import gc
import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ...shared.parking import PROCESS_NAME, Awake, Donate, Wake, receive, send
from ...shared.signals import LOOK_SIGNAL
from ...shared.tuples import NamedTuple
from ..options import Descriptors
from ..process import die_with_parent, rename, volunteer
from . import canary, descriptors, locks, processes, remedies, sharing
from .donor import Donor
from .processes import Past

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from ..attachment import Attachment
    from ..shell import ZMQInteractiveShell
    from .descriptors import Parted
    from .locks import Lock
    from .tally import Tally

SIGNALS = frozenset({
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
    signal.SIGCHLD, LOOK_SIGNAL,
})  # fmt: skip
"""Blocked from before the fork until a snapshot is awake."""

_OOM_SCORE = 200
"""Of 1000: less than the worker's, so that the system takes the worker first."""
_MANY_NAMES = 3
_NOT_TOLD = ("/memfd:bulkhead-", "/dev/shm/sem.")  # noqa: S108 - names to be compared with
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


class Before(NamedTuple):
    """What a fork does not copy, noted before it."""

    random: object
    """The state of the random module, which forgets it in a forked process."""
    timers: tuple[tuple[float, float], ...]
    locks: tuple[Lock, ...]
    threads: tuple[str, ...]
    """Names of threads that were there."""
    past: Past


def note(threads: tuple[str, ...]) -> Before:
    """Note what a fork does not copy."""
    return Before(
        random.getstate(),
        tuple(map(signal.getitimer, _TIMERS)),
        locks.held(descriptors.regular_files()),
        threads,
        Past(os.getpid(), os.getpgrp(), processes.zombies()),
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
        shell: ZMQInteractiveShell,
    ) -> None:
        self._end = end
        self._before = before
        self._attachment = attachment
        self._loop = loop
        self._set_count = set_count
        self._shell = shell
        self._known = known
        self._parted = descriptors.Parted()
        self._name = b""

    def park(self, say: int) -> None:
        """Become harmless; write '+' or why this cannot be into ``say``, and wait to be woken.

        Returns in a process that is the worker. Does not return otherwise.
        """
        # What is garbage by now would run its finalizers here, among things that are half right.
        collects = gc.isenabled()
        gc.disable()
        try:
            refused = self._settle(say)
            os.write(say, refused.encode()[:500] or b"+")
            os.close(say)
            if refused:
                os._exit(0)
            message, fds = receive(self._end, len(Descriptors._fields))
            if isinstance(message, Donate):
                self._donate(message)
            if not isinstance(message, Wake) or len(fds) != len(Descriptors._fields):
                os._exit(1)
            self._wake(message, Descriptors(*fds))
            if collects:
                gc.enable()
        except EOFError:
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - half a worker must not go on
            with suppress(BaseException):
                send(self._end, Awake(f"{type(error).__name__}: {error}", ()))
                message, _ = receive(self._end, 1)
                if isinstance(message, Donate):
                    self._donate(message)
            os._exit(1)

    def _settle(self, say: int) -> str:
        os.setpgid(0, 0)  # what ends the worker's group is not meant for this one
        self._name = rename(PROCESS_NAME)
        volunteer(_OOM_SCORE)
        random.setstate(self._before.random)  # type: ignore[arg-type]
        ours = self._attachment.detach() | {say, self._end.fileno()} | sharing.trackers()
        loop = self._loop
        pair = loop._ssock.fileno(), loop._csock.fileno()  # type: ignore[attr-defined] # noqa: SLF001
        self._parted = descriptors.part(ours, (pair,), self._known)
        return self._parted.refused

    def _donate(self, order: Donate) -> NoReturn:
        Donor(self._end, self._shell).serve(order)

    def _wake(self, wake: Wake, fresh: Descriptors) -> None:
        die_with_parent(wake.parent)
        volunteer()
        rename(self._name)
        self._attachment.attach(fresh)
        unlocked = locks.take_again(self._before.locks)
        written = descriptors.changed(self._parted.files)
        sharing.forget_helpers()
        tally = remedies.put_right(self._loop, self._before.past, self._before.threads)
        canary.check()
        for timer, (seconds, interval) in zip(_TIMERS, self._before.timers, strict=True):
            signal.setitimer(timer, seconds, interval)
        while signal.sigtimedwait(SIGNALS, 0) is not None:
            pass  # sent while this was parked, and meant for nobody
        self._set_count(wake.next_count)
        shared = shared_memory(Path("/proc/self/maps").read_text(encoding="utf-8"))
        told = losses(self._parted, self._before.threads, tally, unlocked, written, shared)
        send(self._end, Awake("", tuple(told)))
        self._end.close()


def losses(
    parted: Parted,
    threads: tuple[str, ...],
    tally: Tally,
    unlocked: list[str],
    written: list[str],
    shared: list[str],
) -> list[str]:
    """Tell in words what has not come back."""
    told = []
    if missed := tally.missed(threads):
        told.append(f"Threads that are gone: {', '.join(missed)}.")
    closed = parted.connections - tally.renewed
    if closed > 0:
        one = closed == 1
        told.append(
            f"{closed} connection{'' if one else 's'} (sockets, pipes) that "
            f"{'is' if one else 'are'} closed now."
        )
    if ended := tally.ended():
        told.append(f"{' and '.join(ended)} that ended with it.")
    told += [f"Child process {pid}, which goes on by itself." for pid in tally.alone]
    told += [f"{path} was locked, and can only be read now." for path in unlocked]
    told += [
        f"{path} was written to since, and that stays." for path in written if path not in unlocked
    ]
    if shared:
        names = ", ".join(shared[:_MANY_NAMES]) + (", ..." if len(shared) > _MANY_NAMES else "")
        told.append(f"Shared memory ({names}) was not turned back.")
    return told


def shared_memory(maps: str) -> list[str]:
    """Name what is shared with other processes and can be written to, from /proc/self/maps.

    Without our own, the semaphores of multiprocessing, which are put right, and the index of a
    database's write-ahead log, which it reads anew each time.
    """
    names: list[str] = []
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)
        if not (fields[1].startswith("rw") and fields[1].endswith("s")):
            continue
        name = fields[5] if len(fields) > 5 else ""  # noqa: PLR2004
        if name.startswith(_NOT_TOLD) or name.endswith("-shm"):
            continue
        name = "not a file's" if name.startswith("/dev/zero") else name or "not a file's"
        if name not in names:
            names.append(name)
    return names
