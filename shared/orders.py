"""Orders about subshells, from the supervisor to the worker: packets on a socket of their own.

They do not go where requests go, because whoever reads those may be busy for hours. An order to
open a subshell brings the reading end of the pipe on which its requests will come. Its end is told
by the end of that pipe, and needs no order.

The order comes first, then LOOK_SIGNAL, upon which the worker's main thread takes what is there.
That thread may be about to wait in a system call, past the last place at which Python looks for
signals: then it would hear of this one when the call is over, in an hour. So it is told again if it
has not heard.
"""

from __future__ import annotations

import os
import socket
import struct

from .tuples import NamedTuple

_ORDER = struct.Struct("<cQ")
_FD = struct.Struct("i")
OPEN, INTERRUPT = b"O", b"I"


class Order(NamedTuple):
    """One order, as the worker takes it."""

    what: bytes
    number: int
    """Of the subshell, or of the request that is to be interrupted."""
    requests: int = -1
    """The reading end of the pipe of a new subshell; it is the taker's to close."""


class Orders:
    """One end of the socket. Used by one thread."""

    def __init__(self, fd: int) -> None:
        """Take the socket behind ``fd``."""
        self._fd = fd

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._fd

    def close(self) -> None:
        """Let go of the socket."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def give(self, order: Order) -> bool:
        """Send an order, and not wait; tell whether it could be. Raises OSError if nobody is there.

        The pipe stays the caller's, who may close it.
        """
        rights = []
        if order.requests >= 0:
            rights.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, _FD.pack(order.requests)))
        with socket.socket(fileno=os.dup(self._fd)) as end:
            try:
                end.sendmsg([_ORDER.pack(order.what, order.number)], rights, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
        return True

    def take(self) -> Order | None:
        """Give the next order; None if there is none now. Does not wait."""
        if self._fd < 0:
            return None
        with socket.socket(fileno=os.dup(self._fd)) as end:
            try:
                room = socket.CMSG_SPACE(_FD.size)
                data, ancillary, _, _ = end.recvmsg(_ORDER.size, room, socket.MSG_DONTWAIT)
            except OSError:  # there is none, or nobody who could give one
                return None
        if len(data) != _ORDER.size:
            return None  # the supervisor has closed its end
        fd = -1
        for level, kind, rights in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                (fd,) = _FD.unpack(rights[: _FD.size])
                os.set_inheritable(fd, False)  # received descriptors are, unlike all others
        what, number = _ORDER.unpack(data)
        return Order(what, number, fd)
