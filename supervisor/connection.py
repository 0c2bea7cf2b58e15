"""The connection file: where the five sockets are, and the keys.

"Connection files" in Jupyter's documentation of kernels describes the format. A file that we were
given stays where it is, because later clients read it; a port 0 in it is chosen by us and written
back. What we write is readable by its owner alone.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from ..shared.tuples import NamedTuple
from . import curve
from .errors import ConnectionFileError
from .wire import SCHEMES

if TYPE_CHECKING:
    from pathlib import Path

    from .curve import Keys

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
TRANSPORTS = ("tcp", "ipc")
HIGHEST_PORT = 65_535


class Connection(NamedTuple):
    """Where the sockets are, and the keys."""

    transport: str
    ip: str
    ports: dict[str, int]
    key: bytes
    signature_scheme: str
    path: Path
    extra: dict[str, Any]
    """Fields of the file that are not ours; kept when it is written back."""
    curve: Keys | None = None
    """With these the sockets are encrypted; without, they are not."""

    def __repr__(self) -> str:
        curve = " encrypted" if self.curve else ""
        return f"<Connection {self.transport}://{self.ip} {self.ports}{curve} from {self.path}>"

    def url(self, channel: str) -> str:
        """Give the address of a channel; with port 0, one that lets ZMQ choose."""
        port = self.ports[channel]
        if self.transport == "ipc":
            return f"ipc://{self.ip}-{port}"
        return f"tcp://{self.ip}:{port or '*'}"


def read(path: Path) -> Connection:
    """Read a connection file. Raises ConnectionFileError, which says what is wrong with it."""
    return use(read_fields(path), path)


def read_fields(path: Path) -> dict[str, Any]:
    """Read a file that Jupyter wrote, whatever kind it is of. Raises ConnectionFileError."""
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
    return fields


def use(fields: dict[str, Any], path: Path) -> Connection:
    """Make sense of the fields of a connection file. Raises ConnectionFileError."""
    try:
        return _connection(fields, path)
    except ValueError as error:
        raise ConnectionFileError(f"The connection file {path} cannot be used: {error}.") from None


def _connection(fields: dict[str, Any], path: Path) -> Connection:
    ports = {channel: port_in(f"{channel}_port", fields) for channel in CHANNELS}
    chosen = [port for port in ports.values() if port]
    if len(set(chosen)) != len(chosen):
        raise ValueError("two channels have the same port")
    transport, key, scheme = security_in(fields)
    ip = string_in("ip", fields) or "127.0.0.1"
    keys = curve.keys_in(fields)
    known = {f"{channel}_port" for channel in CHANNELS}
    known |= {"transport", "ip", "key", "signature_scheme", *curve.FIELDS}
    extra = {name: value for name, value in fields.items() if name not in known}
    return Connection(transport, ip, ports, key, scheme, path, extra, keys)


def security_in(fields: dict[str, Any]) -> tuple[str, bytes, str]:
    """Give the transport, the key and the scheme of the signatures. Raises ValueError."""
    transport = fields.get("transport", "tcp")
    if transport not in TRANSPORTS:
        raise ValueError(f"transport {transport!r} is not one of {', '.join(TRANSPORTS)}")
    scheme = fields.get("signature_scheme", SCHEMES[0])
    if scheme not in SCHEMES:
        raise ValueError(f"signature_scheme {scheme!r} is not one of {', '.join(SCHEMES)}")
    return transport, string_in("key", fields).encode(), scheme


def string_in(name: str, fields: dict[str, Any]) -> str:
    """Give a string; '' if it is not there. Raises ValueError."""
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string, not {value!r}")  # noqa: TRY004
    return value


def port_in(name: str, fields: dict[str, Any]) -> int:
    """Give a port; 0 is one that is to be chosen. Raises ValueError."""
    if name not in fields:
        raise ValueError(f"{name} is missing")
    value = fields[name]
    try:
        port = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else -1
    except ValueError:
        port = -1
    if not 0 <= port <= HIGHEST_PORT:
        raise ValueError(f"{name} must be a port from 0 to {HIGHEST_PORT}, not {value!r}")
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
        **curve.fields_of(connection.curve),
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
