"""Locks on files: the worker holds them, and its snapshot does not.

A database that believes it holds a lock it has lost writes into a file that others write, too. So
what is locked is noted when a snapshot is made. On waking, after the worker's death has let go of
everything, the same locks are taken again, if nobody has changed the file (or a database's journal
beside it) meanwhile; otherwise the descriptor is made one that cannot be written to, and the
library gets an error of the file system instead of a corrupted file.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

from ...shared.tuples import NamedTuple

_BESIDE = ("", "-wal", "-shm", "-journal")
_FLOCK = struct.Struct("hhqqi4x")  # struct flock of <fcntl.h>, 64 bits
_ALL = 0  # as a length: up to the end, wherever that is


class Lock(NamedTuple):
    """A lock, and what the file and its neighbours were like while it was held."""

    fd: int
    path: str
    kind: str
    """POSIX, OFDLCK or FLOCK, as the system calls it."""
    exclusive: bool
    start: int
    length: int
    """0: up to the end."""
    files: tuple[tuple[int, int], ...]
    """Size and time of change of each file beside it; (-1, -1) for one that is not there."""


def held(fds: list[int]) -> tuple[Lock, ...]:
    """List the locks that this process holds on these files. Before the fork."""
    locks = []
    for fd in fds:
        with suppress(OSError, ValueError, IndexError):
            locks += _locks(fd)
    return tuple(locks)


def take_again(locks: tuple[Lock, ...]) -> list[str]:
    """Take the locks again, or see to it that nothing is written; name the files of the latter."""
    lost = []
    for lock in locks:
        if _state(lock.path) == lock.files and _take(lock):
            continue
        _forbid_writing(lock.fd)
        if lock.path not in lost:
            lost.append(lock.path)
    return lost


def parse(fdinfo: str) -> list[tuple[str, bool, int, int]]:
    """Read the locks on a descriptor, as (kind, exclusive, start, length); 0 for up to the end."""
    found = []
    for line in fdinfo.splitlines():
        name, _, value = line.partition(":")
        if name == "lock":
            # 1: POSIX  ADVISORY  WRITE 1234 00:2b:9 0 EOF
            _, kind, _, access, _, _, start, end = value.split()
            length = _ALL if end == "EOF" else int(end) - int(start) + 1
            found.append((kind, access == "WRITE", int(start), length))
    return found


def _locks(fd: int) -> list[Lock]:
    text = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="utf-8")
    path = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - may be no path
    return [Lock(fd, path, *lock, _state(path)) for lock in parse(text)]


def _state(path: str) -> tuple[tuple[int, int], ...]:
    states = []
    for beside in _BESIDE:
        try:
            status = os.stat(path + beside)  # noqa: PTH116 - strings
            states.append((status.st_size, status.st_mtime_ns))
        except OSError:
            states.append((-1, -1))
    return tuple(states)


def _take(lock: Lock) -> bool:
    try:
        if lock.kind == "FLOCK":
            kind = fcntl.LOCK_EX if lock.exclusive else fcntl.LOCK_SH
            fcntl.flock(lock.fd, kind | fcntl.LOCK_NB)
        elif lock.kind == "OFDLCK":
            kind = fcntl.F_WRLCK if lock.exclusive else fcntl.F_RDLCK
            wanted = _FLOCK.pack(kind, os.SEEK_SET, lock.start, lock.length, 0)
            fcntl.fcntl(lock.fd, fcntl.F_OFD_SETLK, wanted)
        else:
            kind = fcntl.LOCK_EX if lock.exclusive else fcntl.LOCK_SH
            fcntl.lockf(lock.fd, kind | fcntl.LOCK_NB, lock.length, lock.start)
    except OSError:
        return False
    return True


def _forbid_writing(fd: int) -> None:
    """Replace a descriptor by one of the same file that cannot be written to."""
    with suppress(OSError):
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
        os.dup2(again, fd, os.get_inheritable(fd))
        os.close(again)
