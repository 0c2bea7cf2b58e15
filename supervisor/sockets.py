"""The five sockets of a kernel, bound as the connection file says.

With keys in it each of them is encrypted, the heartbeat too: a client without keys gets nothing
("Security" in jupyter_client's documentation). Sockets in the file system, and the folder that is
made for them, are their owner's alone.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq

from ..shared.tuples import NamedTuple
from . import curve
from .connection import CHANNELS, HIGHEST_PORT
from .errors import ConnectionFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .connection import Connection

_LINGER = 1000  # milliseconds in which a last reply may still go out


class Place:
    """What is ours in the file system: nothing, over tcp."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._files: list[tuple[Path, int]] = []

    def make(self, folder: Path) -> None:
        """Make the folder of the sockets, if it is not there."""
        with suppress(FileExistsError):
            folder.mkdir()
            self._folder = folder

    def add(self, file: Path) -> None:
        """Note a socket that was bound."""
        self._files.append((file, file.stat().st_ino))

    def clean_up(self) -> None:
        """Remove what is ours and still there: libzmq leaves it."""
        with suppress(OSError):
            for file, inode in self._files:
                if file.exists() and file.stat().st_ino == inode:
                    file.unlink()
            if self._folder is not None:
                self._folder.rmdir()  # not if anybody has something in it


class Sockets(NamedTuple):
    """The bound sockets. Each goes to the one thread that uses it."""

    shell: zmq.Socket[bytes]
    iopub: zmq.Socket[bytes]
    stdin: zmq.Socket[bytes]
    control: zmq.Socket[bytes]
    hb: zmq.Socket[bytes]
    place: Place
    """To be cleaned up after they were closed."""


def bind(
    connection: Connection, context: zmq.Context[Any], heartbeat: zmq.Context[Any]
) -> tuple[Sockets, Connection]:
    """Bind the five sockets; give them, and the connection with the ports that were chosen.

    Raises ConnectionFileError for an address that cannot be bound.
    """
    sockets: dict[str, zmq.Socket[bytes]] = {}
    ports = dict(connection.ports)
    with _prepared(connection) as place:
        for channel in CHANNELS:
            kind = zmq.XPUB if channel == "iopub" else zmq.ROUTER
            socket = (heartbeat if channel == "hb" else context).socket(kind)
            socket.linger = _LINGER
            # Memory instead of loss: a subscriber that pauses gets everything later (G35).
            socket.sndhwm = 0
            if channel == "iopub":
                # We are told of each subscription, the second client's too, and it takes effect
                # when we say so: after we know of it, so that its welcome is its first message.
                socket.setsockopt(zmq.XPUB_MANUAL, 1)
            else:
                socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
            if connection.curve is not None:
                curve.serve(socket, connection.curve)
            if ":" in connection.ip and connection.transport == "tcp":
                socket.setsockopt(zmq.IPV6, 1)
            sockets[channel] = socket
            try:
                ports[channel] = _bind(socket, channel, connection)
                if connection.transport == "ipc":
                    place.add(Path(f"{connection.ip}-{ports[channel]}"))
            except ConnectionFileError:
                for opened in sockets.values():
                    opened.close(linger=0)
                raise
    return Sockets(**sockets, place=place), connection._replace(ports=ports)


def _bind(socket: zmq.Socket[bytes], channel: str, connection: Connection) -> int:
    if connection.transport == "ipc" and not connection.ports[channel]:
        return _bind_any_ipc(socket, channel, connection)
    url = connection.url(channel)
    if connection.transport == "ipc":
        _spare(Path(url.removeprefix("ipc://")), channel)
    try:
        socket.bind(url)
    except zmq.ZMQError as error:
        raise ConnectionFileError(
            f"The {channel} channel cannot be bound to {url}: {os.strerror(error.errno or 0)}. "
            "Another kernel or program may be using it; start the kernel anew with other ports."
        ) from None
    if connection.transport == "ipc":
        return connection.ports[channel]
    endpoint = socket.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(endpoint, bytes)
    return int(endpoint.rstrip(b"\0").rpartition(b":")[2])


def _bind_any_ipc(socket: zmq.Socket[bytes], channel: str, connection: Connection) -> int:
    for port in range(1, HIGHEST_PORT):
        if not Path(f"{connection.ip}-{port}").exists():
            return _bind(socket, channel, connection._replace(ports={channel: port}))
    raise ConnectionFileError(f"No free ipc address is left for {connection.ip}.")


def _spare(path: Path, channel: str) -> None:
    """Raise ConnectionFileError for a file that is no socket: libzmq would replace it."""
    with suppress(OSError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConnectionFileError(
                f"The {channel} channel cannot be bound to {path}: a file is there that is no "
                "socket. Remove it, or start the kernel anew with another ip."
            )


@contextmanager
def _prepared(connection: Connection) -> Iterator[Place]:
    """Let sockets in the file system be made for their owner alone.

    Names are chosen by one kernel at a time, or two that start at once might choose the same.
    """
    place = Place()
    if connection.transport != "ipc":
        yield place
        return
    folder = Path(connection.ip).parent
    before = os.umask(0o077)
    lock = -1
    try:
        with suppress(OSError):  # what cannot be is told when the first socket is bound
            place.make(folder)
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield place
    except BaseException:
        place.clean_up()
        raise
    finally:
        if lock >= 0:
            os.close(lock)
        os.umask(before)
