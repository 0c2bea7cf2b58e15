"""Pipes that a process has both ends of, and no child has: in a snapshot they stay pipes.

Libraries wake their own threads with such, and libuv makes a lock of one and aborts if it breaks.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import termios
from contextlib import suppress

from .children import children_of


def renew(targets: dict[int, str]) -> frozenset[int]:
    """Give each such pipe a successor that nobody else has to do with; tell which they are.

    ``targets`` are descriptors and what they lead to.
    """
    ends: dict[str, list[int]] = {}
    for fd, target in targets.items():
        if target.startswith("pipe:"):
            ends.setdefault(target, []).append(fd)
    ends = {target: fds for target, fds in ends.items() if len({*map(_mode, fds)}) > 1}
    for target in _in_use_by_children(os.getppid()) if ends else ():
        ends.pop(target, None)
    for fds in ends.values():
        reader, writer = os.pipe()
        source = next(fd for fd in fds if _mode(fd) != os.O_WRONLY)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, fcntl.fcntl(source, fcntl.F_GETPIPE_SZ))
        _copy_pipe(source, writer)
        for fd in fds:
            new = os.dup(reader if _mode(fd) == os.O_RDONLY else writer)
            os.set_blocking(new, os.get_blocking(fd))
            put(new, fd)
        os.close(reader)
        os.close(writer)
    return frozenset(fd for fds in ends.values() for fd in fds)


def _mode(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE


def _copy_pipe(source: int, writer: int) -> None:
    """Copy what is in a pipe without taking it out."""
    waiting = ctypes.c_int()
    libc = ctypes.CDLL(None, use_errno=True)
    fcntl.ioctl(source, termios.FIONREAD, waiting)
    if waiting.value:
        libc.tee.restype = ctypes.c_ssize_t
        copied = libc.tee(source, writer, ctypes.c_size_t(waiting.value), os.SPLICE_F_NONBLOCK)
        if copied != waiting.value:
            raise OSError(ctypes.get_errno(), "a pipe could not be copied")


def _in_use_by_children(parent: int) -> set[str]:
    """List the pipes that a process's children have, but for us."""
    found = set()
    for pid in children_of(parent) - {os.getpid()}:
        with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            found |= {os.readlink(entry.path) for entry in entries}  # noqa: PTH115 - no paths
    return found


def put(fd: int, place: int) -> None:
    """Put a descriptor in the place of another, which keeps whether programs inherit it."""
    inheritable = os.get_inheritable(place)
    os.dup2(fd, place, inheritable)
    os.close(fd)
