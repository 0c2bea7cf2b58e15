"""The handshake: the kernel chooses its ports, and tells them to whoever has started it.

"Kernel startup handshake" and "Registration file format" of the protocol's version 5.6. The file
says where a launcher waits, and with which key. The five sockets are bound first; then one signed
frame with their ports goes there, and one signed frame comes back. So no port is chosen before it
is bound, and nobody else can take it in between.
"""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, Any

import zmq

from ..shared.tuples import NamedTuple
from . import curve
from .connection import CHANNELS, Connection, port_in, security_in, string_in
from .errors import ConnectionFileError, MalformedMessageError, RegistrationError
from .wire import DELIMITER, Signer, dumps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ANSWERED = 10.0
"""Seconds from telling our ports to the acknowledgement."""
_PORT = "registration_port"


class Registration(NamedTuple):
    """Where a launcher waits for the ports of a kernel."""

    kernel_id: str
    transport: str
    ip: str
    port: int
    key: bytes
    signature_scheme: str
    keys: curve.Keys | None
    path: Path

    def __repr__(self) -> str:
        return f"<Registration of {self.kernel_id} at {self.url}>"

    @property
    def url(self) -> str:
        """The address of the launcher."""
        separator = "-" if self.transport == "ipc" else ":"
        return f"{self.transport}://{self.ip}{separator}{self.port}"


def is_registration(fields: dict[str, Any]) -> bool:
    """Tell a registration file from a connection file, which has ports for all channels."""
    return _PORT in fields and not any(f"{channel}_port" in fields for channel in CHANNELS)


def read(fields: dict[str, Any], path: Path) -> Registration:
    """Make sense of a registration file. Raises ConnectionFileError."""
    try:
        return _registration(fields, path)
    except ValueError as error:
        raise ConnectionFileError(
            f"The registration file {path} cannot be used: {error}."
        ) from None


def _registration(fields: dict[str, Any], path: Path) -> Registration:
    kernel_id = string_in("kernel_id", fields)
    # It becomes part of a file's name.
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", kernel_id):
        raise ValueError(
            "kernel_id must be 1 to 100 ASCII letters, digits, '-', '.' and '_', "
            f"not {fields.get('kernel_id')!r}"
        )
    port = port_in(_PORT, fields)
    if not port:
        raise ValueError(f"{_PORT} must be a port on which somebody listens, not 0")
    ip = string_in("registration_ip", fields)
    if not ip:
        raise ValueError("registration_ip is missing")
    transport, key, scheme = security_in(fields)
    return Registration(
        kernel_id, transport, ip, port, key, scheme, curve.keys_in(fields), path
    )  # fmt: skip


def connection(registration: Registration, folder: Path) -> Connection:
    """Give the connection that we bind, all of whose ports are to be chosen.

    Its file is one of our own, in this folder: others can connect by it, and it ends with us. What
    a kernel of the same id has left there, which cannot live any more, is removed.
    """
    path = folder / f"kernel-{registration.kernel_id}.json"
    path.unlink(missing_ok=True)
    return Connection(
        registration.transport,
        _our_ip(registration),
        dict.fromkeys(CHANNELS, 0),
        registration.key,
        registration.signature_scheme,
        path,
        {"kernel_id": registration.kernel_id},
        registration.keys,
    )


def _our_ip(registration: Registration) -> str:
    """Give the address of this machine that the launcher can reach."""
    if registration.transport == "ipc":
        return registration.ip
    family = socket.AF_INET6 if ":" in registration.ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((registration.ip, registration.port))  # nothing is sent
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ConnectionFileError(
            f"The registration file {registration.path} cannot be used: there is no way to "
            f"{registration.ip}: {error.strerror or error}."
        ) from None


def register(
    registration: Registration, bound: Connection, context: zmq.Context[Any], seconds: float
) -> None:
    """Tell the ports, and wait for the acknowledgement. Raises RegistrationError."""
    signer = Signer(registration.key, registration.signature_scheme)
    content = dumps({"kernel_id": registration.kernel_id, **_ports(bound)})
    with context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        if ":" in registration.ip and registration.transport == "tcp":
            dealer.setsockopt(zmq.IPV6, 1)
        try:
            dealer.connect(registration.url)
        except zmq.ZMQError as error:
            raise RegistrationError(f"{registration.url} is no address: {error}.") from None
        dealer.send_multipart([DELIMITER, signer.sign([content]), content])
        end = time.monotonic() + seconds
        while dealer.poll(max(0.0, end - time.monotonic()) * 1000):
            if _acknowledges(dealer.recv_multipart(), signer):
                return
    raise RegistrationError(
        f"The kernel has told its ports to {registration.url}, and nothing came back in "
        f"{seconds:g} s that is signed with the key in {registration.path}. Whoever wrote it "
        "must listen there and answer; the kernel ends."
    )


def _ports(bound: Connection) -> dict[str, str]:
    return {f"{channel}_port": str(port) for channel, port in bound.ports.items()}


def _acknowledges(frames: Sequence[bytes], signer: Signer) -> bool:
    """Tell an acknowledgement, whose content is open, from what anybody may have sent."""
    try:
        at = list(frames).index(DELIMITER)
        signature, content = frames[at + 1 :]
        signer.check(signature, [content])
    except (ValueError, MalformedMessageError):
        return False
    return True
