"""The descriptors of a snapshot: what it shares with the worker must not be touched by two.

A forked process has its parent's descriptors, and with them the parent's place in each file, its
connections, its pipes. Both would read from the same socket and move the same offset. So before a
snapshot parks, each descriptor gets something of its own under the same number:

- a file is opened again through /proc, at the same place;
- a socket, a pipe: a socket whose other end is closed. Whoever writes gets BrokenPipeError, whoever
  reads gets the end; both sides of the user's program know how to deal with that;
- a pipe that this process has both ends of, and no child has: a new one with the same contents.
  Libraries wake their threads with such, and libuv makes a lock of one and aborts if it breaks;
- an epoll or an eventfd: a new one with the same contents.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
from contextlib import suppress
from pathlib import Path

from ...shared.tuples import NamedTuple
from . import pipes

_NOT_AGAIN = os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_NOFOLLOW
_GRAPHICS = ("/dev/nvidia", "/dev/kfd", "/dev/dri/")
_REFUSED = ("[io_uring]", "[perf_event]", "[userfaultfd]")


class File(NamedTuple):
    """A regular file that is open for writing, as it was when the snapshot was made."""

    fd: int
    path: str
    size: int
    changed: int
    """Nanoseconds since the epoch."""


class Parted(NamedTuple):
    """What became of the descriptors."""

    refused: str = ""
    """Why this process cannot become a worker; "" if it can."""
    files: tuple[File, ...] = ()
    connections: int = 0
    """Sockets and pipes that lead nowhere now."""


def refusal() -> str:
    """Tell, before anything is forked, which open descriptor makes it useless; "" if none does."""
    for fd in _numbers():
        target = _target(fd)
        if target.startswith(_GRAPHICS):
            return f"a graphics card is in use ({target}), and what is on it cannot be copied"
        if target.endswith(_REFUSED):
            return f"a descriptor of a kind that cannot be copied is open ({target})"
    return ""


def known() -> dict[int, tuple[int, int]]:
    """List what is open, in a form that tells it from what may get the same number later."""
    found = {}
    for fd in _numbers():
        status = os.fstat(fd)
        found[fd] = status.st_dev, status.st_ino
    return found


def regular_files() -> list[int]:
    """List the descriptors of regular files."""
    found = []
    for fd in _numbers():
        with suppress(OSError):
            if stat.S_ISREG(os.fstat(fd).st_mode):
                found.append(fd)
    return found


def part(
    ours: frozenset[int], pairs: tuple[tuple[int, int], ...], before: dict[int, tuple[int, int]]
) -> Parted:
    """Part this process's descriptors from its parent's, but for ours.

    ``before`` is what was ``known`` before the user's code ran; what of it is open still is ours,
    too. ``pairs`` are the ends of sockets that this process uses to wake itself: they stay pairs.
    """
    files: list[File] = []
    connections = 0
    polls: list[int] = []
    kept = ours | {fd for pair in pairs for fd in pair}
    for pair in pairs:
        _renew_pair(*pair)
    kept |= pipes.renew({fd: _target(fd) for fd in _numbers() if fd not in kept | set(before)})
    for fd in _numbers():
        if fd in kept:
            continue
        try:
            status = os.fstat(fd)
            mode = status.st_mode
            is_known = before.get(fd) == (status.st_dev, status.st_ino)
            if stat.S_ISREG(mode):
                file = _reopen(fd)
                if file is not None and not is_known:
                    files.append(file)
            elif is_known:
                continue
            elif stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
                connections += 1
                _silence(fd)
            elif (target := _target(fd)).endswith("[eventpoll]"):
                polls.append(fd)
            elif target.endswith("[eventfd]"):
                _renew_eventfd(fd)
        except OSError as error:
            return Parted(refused=f"{_target(fd)} could not be opened again: {error.strerror}")
    for fd in polls:  # what they watch has been replaced by now
        _renew_epoll(fd)
    return Parted(files=tuple(files), connections=connections)


def changed(files: tuple[File, ...]) -> list[str]:
    """Give the paths of files that somebody has written since."""
    paths = []
    for file in files:
        with suppress(OSError):
            status = os.fstat(file.fd)
            if (status.st_size, status.st_mtime_ns) != (file.size, file.changed):
                paths.append(file.path)
    return paths


def _numbers() -> list[int]:
    with os.scandir("/proc/self/fd") as entries:
        numbers = [int(entry.name) for entry in entries]
    # One of them was the folder's own, and is closed by now.
    return [fd for fd in numbers if _is_open(fd)]


def _is_open(fd: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def _target(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - not a path, often
    except OSError:
        return ""


def _info(fd: int) -> dict[str, str]:
    """Read what the system tells of a descriptor; of a name that comes twice, the last."""
    lines = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _reopen(fd: int) -> File | None:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if flags & getattr(os, "O_PATH", 0):
        return None
    position = os.lseek(fd, 0, os.SEEK_CUR)
    path = _target(fd)
    if flags & os.O_TMPFILE == os.O_TMPFILE:  # two bits, of which one means a folder
        flags &= ~os.O_TMPFILE
    again = os.open(f"/proc/self/fd/{fd}", flags & ~_NOT_AGAIN)
    os.lseek(again, position, os.SEEK_SET)
    pipes.put(again, fd)
    if flags & os.O_ACCMODE == os.O_RDONLY:
        return None
    status = os.fstat(fd)
    return File(fd, path, status.st_size, status.st_mtime_ns)


def _silence(fd: int) -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    os.set_blocking(ours.fileno(), os.get_blocking(fd))
    pipes.put(ours.detach(), fd)


def _renew_pair(one: int, other: int) -> None:
    a, b = socket.socketpair()
    for end, fd in ((a, one), (b, other)):
        os.set_blocking(end.fileno(), os.get_blocking(fd))
        pipes.put(end.detach(), fd)


def _renew_eventfd(fd: int) -> None:
    count = int(_info(fd).get("eventfd-count", "0"), 16)
    new = os.eventfd(count, os.EFD_CLOEXEC)
    os.set_blocking(new, os.get_blocking(fd))
    pipes.put(new, fd)


def _renew_epoll(fd: int) -> None:
    """Make a new epoll that watches the same numbers, which stand for other things now."""
    text = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="utf-8")
    new = select.epoll()
    for line in text.splitlines():
        words = line.replace(":", " ").split()
        if words and words[0] == "tfd":
            fields = dict(zip(words[::2], words[1::2], strict=False))
            with suppress(OSError):  # it was closed meanwhile
                new.register(int(fields["tfd"]), int(fields["events"], 16))
    pipes.put(os.dup(new.fileno()), fd)
    new.close()
