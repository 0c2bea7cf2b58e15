"""Big buffers from one process to the other: in memory of their own, handed over by descriptor.

A buffer of megabytes that goes through a pipe is copied in, copied out, and waits for its reader a
hundred times on the way. Here it is copied once, into anonymous memory that is sealed, and the
descriptor goes over a socket. The record on the pipe keeps the order: it is written afterwards,
and names the buffer by a serial number.

Whoever takes a buffer believes nothing: only sealed memory is mapped, because memory that its
owner can still shorten would end whoever reads it. Where there is no such memory (macOS), or the
socket is full, the buffer stays in the record.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from .tuples import NamedTuple

if TYPE_CHECKING:
    from .frames import Buffer

LEAST = 1 << 20
"""Bytes of a buffer that is worth it."""
MOST = 32
"""Buffers of one record: the socket has to hold them all before the record is written."""

_SERIAL = struct.Struct("<Q")
_FD = struct.Struct("i")
_SEALS = getattr(fcntl, "F_SEAL_SHRINK", 0) | getattr(fcntl, "F_SEAL_WRITE", 0)


class HandoverError(Exception):
    """What was handed over is not what was announced."""


class Handed(NamedTuple):
    """A buffer that is not in its record."""

    serial: int
    size: int


class Handover:
    """One direction of a socket. Used by one thread."""

    def __init__(self, fd: int) -> None:
        """Use the socket behind ``fd``, from a descriptor of its own."""
        self._fd = os.dup(fd)
        self._given = self._taken = 0

    def fileno(self) -> int:
        """Give the descriptor; -1 once it was let go of."""
        return self._fd

    def begin_again(self, fd: int) -> None:
        """Use another socket, under the same number."""
        os.dup2(fd, self._fd, inheritable=False)
        self._given = self._taken = 0

    def close(self) -> None:
        """Let go of the socket."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def give(self, buffer: Buffer) -> Handed | None:
        """Hand over a buffer; None if it has to go some other way."""
        if not _SEALS or not hasattr(os, "memfd_create"):
            return None
        try:
            fd = os.memfd_create("bulkhead-buffer", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError:  # no descriptor is to be had
            return None
        serial = self._given = self._given + 1
        try:
            view = memoryview(buffer)
            while view:
                view = view[os.write(fd, view) :]
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_GROW)
            with socket.socket(fileno=os.dup(self._fd)) as end:
                # Not socket.send_fds: it takes flags, and forgets them.
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, _FD.pack(fd))
                end.sendmsg([_SERIAL.pack(serial)], [rights], socket.MSG_DONTWAIT)
        except OSError:  # memory or the socket is full
            return None
        finally:
            os.close(fd)
        return Handed(serial, len(buffer))

    def take(self, handed: Handed) -> memoryview:
        """Give a buffer that was handed over. Raises HandoverError if there is no such one."""
        with socket.socket(fileno=os.dup(self._fd)) as end:
            while self._taken < handed.serial:
                try:
                    data, fds = _receive(end)
                except OSError as error:
                    raise HandoverError("a buffer was announced and not handed over") from error
                if len(data) != _SERIAL.size or len(fds) != 1:
                    _close(fds)
                    raise HandoverError("something else than a buffer was handed over")
                self._taken = _SERIAL.unpack(data)[0]
                if self._taken == handed.serial:
                    return _map(fds[0], handed.size)
                _close(fds)  # it was given, and its record was never written
        raise HandoverError("a buffer was announced twice")


def _map(fd: int, size: int) -> memoryview:
    try:
        if not size or os.fstat(fd).st_size < size:
            raise HandoverError("a buffer is shorter than was announced")
        if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise HandoverError("a buffer is not sealed")
        return memoryview(mmap.mmap(fd, size, prot=mmap.PROT_READ))
    except (OSError, ValueError) as error:
        raise HandoverError(f"a buffer cannot be read: {error}") from error
    finally:
        os.close(fd)


def _receive(end: socket.socket) -> tuple[bytes, list[int]]:
    # Not socket.recv_fds: it takes flags, and forgets them.
    room = socket.CMSG_SPACE(_FD.size)
    data, ancillary, _, _ = end.recvmsg(_SERIAL.size, room, socket.MSG_DONTWAIT)
    fds: list[int] = []
    for level, kind, rights in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds += [fd for (fd,) in _FD.iter_unpack(rights[: len(rights) // _FD.size * _FD.size])]
    for fd in fds:
        os.set_inheritable(fd, False)  # received descriptors are, unlike all others
    return data, fds


def _close(fds: list[int]) -> None:
    for fd in fds:
        with suppress(OSError):
            os.close(fd)
