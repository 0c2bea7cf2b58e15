"""The files of the Jupyter runtime folder: which kernels and servers claim to run.

Anything may stand in that folder: broken JSON, pipes, the files of other programs and of other
users. What is not surely a connection file of this user is passed over, never an error. That a file
is there does not mean that its kernel lives.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST = 1 << 16
"""Bytes of the largest file that is read: a connection file has a few hundred."""
CURVE_KEY = 40
"""Characters of a key of CurveZMQ."""
HIGHEST_PORT = 65_535
DIGESTS = ("sha256", "sha512", "sha384", "sha224", "sha1", "md5")


@dataclass(frozen=True)
class ConnectionFile:
    """Where a kernel listens, as its connection file has it."""

    path: Path
    kernel_name: str | None
    transport: str
    ip: str
    shell_port: int
    control_port: int
    digest: str
    """The hash with which messages are signed, by its name in hashlib."""
    key: bytes = field(repr=False)
    curve: tuple[bytes, bytes] | None = field(default=None, repr=False)
    """The public and the secret key of a kernel whose connections are encrypted."""

    @property
    def kernel_id(self) -> str:
        """The id that a server knows the kernel by; else just a name for it."""
        return self.path.stem.removeprefix("kernel-")

    @property
    def control(self) -> str:
        """The address of the control channel."""
        separator = ":" if self.transport == "tcp" else "-"
        return f"{self.transport}://{self.ip}{separator}{self.control_port}"


def connection_files(folder: Path) -> list[ConnectionFile]:
    """Give what the connection files of this user say, in the order of their names."""
    parsed = (parse(path, fields) for path, fields in objects(folder))
    return [each for each in parsed if each is not None]


def objects(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Give the JSON objects that this user's files hold, each with its path."""
    try:
        paths = sorted(folder.glob("*.json"))
    except OSError:
        return
    for path in paths:
        value = _read(path)
        if isinstance(value, dict):
            yield path, value


def _read(path: Path) -> object:
    try:
        with open(path, "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
                return None
            raw = file.read(LARGEST + 1)
            return json.loads(raw) if len(raw) <= LARGEST else None
    except (OSError, ValueError, RecursionError):
        return None


def _open(path: str, flags: int) -> int:
    # To open a named pipe would otherwise wait for somebody to write.
    return os.open(path, flags | os.O_NONBLOCK)


def parse(path: Path, fields: dict[str, Any]) -> ConnectionFile | None:
    """Read the fields of a connection file; None if it is none. Pure."""
    key, ip = fields.get("key"), fields.get("ip") or "127.0.0.1"
    transport, scheme = fields.get("transport", "tcp"), fields.get("signature_scheme", "")
    ports = [fields.get("shell_port"), fields.get("control_port")]
    if not isinstance(key, str) or not all(map(_is_port, ports)):
        return None
    if not isinstance(ip, str) or not ip.isascii() or not ip.isprintable():
        return None
    digest = str(scheme or "hmac-sha256").removeprefix("hmac-")
    if transport not in ("tcp", "ipc") or digest not in DIGESTS:
        return None
    name = fields.get("kernel_name")
    public, secret = fields.get("curve_publickey"), fields.get("curve_secretkey")
    curve = (public.encode(), secret.encode()) if _is_z85(public) and _is_z85(secret) else None
    return ConnectionFile(
        path=path,
        kernel_name=printable(name) if isinstance(name, str) and name else None,
        transport=transport,
        ip=ip,
        shell_port=int(ports[0] or 0),
        control_port=int(ports[1] or 0),
        digest=digest,
        key=key.encode(errors="surrogatepass"),
        curve=curve,
    )


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= HIGHEST_PORT


def _is_z85(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.isascii() and len(value) == CURVE_KEY


def printable(text: str) -> str:
    """Give a text of unknown origin without what would move a terminal's cursor."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
