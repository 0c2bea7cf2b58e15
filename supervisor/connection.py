"""The connection file and the five sockets that it describes.

"Connection files" in Jupyter's documentation of kernels describes the format. A file that we were
given stays where it is, because later clients read it; a port 0 in it is chosen here and written
back. Files and ipc sockets are readable by their owner alone.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import zmq

from .errors import ConnectionFileError
from .wire import SCHEMES

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
TRANSPORTS = ("tcp", "ipc")
_LINGER = 1000  # milliseconds in which a last reply may still go out
_HIGHEST_PORT = 65_535


class Connection(NamedTuple):
    """Where the sockets are, and the key."""

    transport: str
    ip: str
    ports: dict[str, int]
    key: bytes
    signature_scheme: str
    path: Path
    extra: dict[str, Any]
    """Fields of the file that are not ours; kept when it is written back."""

    def __repr__(self) -> str:
        return f"<Connection {self.transport}://{self.ip} {self.ports} from {self.path}>"

    def url(self, channel: str) -> str:
        """Give the address of a channel; with port 0, one that lets ZMQ choose."""
        port = self.ports[channel]
        if self.transport == "ipc":
            return f"ipc://{self.ip}-{port}"
        return f"tcp://{self.ip}:{port or '*'}"


def read(path: Path) -> Connection:
    """Read a connection file. Raises ConnectionFileError, which says what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConnectionFileError(
            f"The connection file {path} cannot be read: {error.strerror}. "
            "Jupyter writes this file and passes its path with -f."
        ) from None
    except UnicodeDecodeError:
        raise ConnectionFileError(f"The connection file {path} is not text in UTF-8.") from None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConnectionFileError(
            f"The connection file {path} is not valid JSON: {error}."
        ) from None
    if not isinstance(fields, dict):
        raise ConnectionFileError(
            f"The connection file {path} must hold a JSON object with the ports and the key."
        )
    try:
        return _connection(fields, path)
    except ValueError as error:
        raise ConnectionFileError(f"The connection file {path} cannot be used: {error}.") from None


def _connection(fields: dict[str, Any], path: Path) -> Connection:
    ports = {channel: _port(f"{channel}_port", fields) for channel in CHANNELS}
    chosen = [port for port in ports.values() if port]
    if len(set(chosen)) != len(chosen):
        raise ValueError("two channels have the same port")
    transport = fields.get("transport", "tcp")
    if transport not in TRANSPORTS:
        raise ValueError(f"transport {transport!r} is not one of {', '.join(TRANSPORTS)}")
    scheme = fields.get("signature_scheme", SCHEMES[0])
    if scheme not in SCHEMES:
        raise ValueError(f"signature_scheme {scheme!r} is not one of {', '.join(SCHEMES)}")
    key, ip = fields.get("key", ""), fields.get("ip") or "127.0.0.1"
    for name, value in (("key", key), ("ip", ip)):
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a string, not {value!r}")  # noqa: TRY004
    known = {f"{channel}_port" for channel in CHANNELS}
    known |= {"transport", "ip", "key", "signature_scheme"}
    extra = {name: value for name, value in fields.items() if name not in known}
    return Connection(transport, ip, ports, key.encode(), scheme, path, extra)


def _port(name: str, fields: dict[str, Any]) -> int:
    if name not in fields:
        raise ValueError(f"{name} is missing")
    value = fields[name]
    try:
        port = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else -1
    except ValueError:
        port = -1
    if not 0 <= port <= _HIGHEST_PORT:
        raise ValueError(f"{name} must be a port from 0 to {_HIGHEST_PORT}, not {value!r}")
    return port


def invent(path: Path) -> Connection:
    """Make a connection of our own, for a kernel that was started without a file."""
    ports = dict.fromkeys(CHANNELS, 0)
    return Connection(
        "tcp", "127.0.0.1", ports, os.urandom(32).hex().encode(), SCHEMES[0], path, {}
    )


def write(connection: Connection) -> None:
    """Write the connection file, readable by its owner alone. Raises ConnectionFileError."""
    fields = connection.extra | {
        **{f"{channel}_port": port for channel, port in connection.ports.items()},
        "transport": connection.transport,
        "ip": connection.ip,
        "key": connection.key.decode(),
        "signature_scheme": connection.signature_scheme,
    }
    path = connection.path
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Whole or not at all: a client may be reading it already.
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            json.dump(fields, file, indent=2)
        temporary.replace(path)
    except OSError as error:
        raise ConnectionFileError(
            f"The connection file {path} cannot be written: {error.strerror}."
        ) from None


class Sockets(NamedTuple):
    """The bound sockets. Each goes to the one thread that uses it."""

    shell: zmq.Socket[bytes]
    iopub: zmq.Socket[bytes]
    stdin: zmq.Socket[bytes]
    control: zmq.Socket[bytes]
    hb: zmq.Socket[bytes]


def bind(
    connection: Connection, context: zmq.Context[Any], heartbeat: zmq.Context[Any]
) -> tuple[Sockets, Connection]:
    """Bind the five sockets; give them, and the connection with the ports that were chosen.

    Raises ConnectionFileError for an address that cannot be bound.
    """
    sockets: dict[str, zmq.Socket[bytes]] = {}
    ports = dict(connection.ports)
    with _private():
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
            if ":" in connection.ip and connection.transport == "tcp":
                socket.setsockopt(zmq.IPV6, 1)
            sockets[channel] = socket
            try:
                ports[channel] = _bind(socket, channel, connection)
            except ConnectionFileError:
                for opened in sockets.values():
                    opened.close(linger=0)
                raise
    return Sockets(**sockets), connection._replace(ports=ports)


def _bind(socket: zmq.Socket[bytes], channel: str, connection: Connection) -> int:
    if connection.transport == "ipc" and not connection.ports[channel]:
        return _bind_any_ipc(socket, channel, connection)
    url = connection.url(channel)
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
    for port in range(1, _HIGHEST_PORT):
        if not Path(f"{connection.ip}-{port}").exists():
            return _bind(socket, channel, connection._replace(ports={channel: port}))
    raise ConnectionFileError(f"No free ipc address is left for {connection.ip}.")


@contextmanager
def _private() -> Iterator[None]:
    """Let sockets in the file system be made for their owner alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
