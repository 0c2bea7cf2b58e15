"""The Jupyter servers of this user: which notebook a kernel runs, and what they do to a kernel.

A server leaves a file in the runtime folder with its address and a token. The token goes nowhere
but to this machine: a server is asked on the loopback interface, past any proxy. Servers with TLS,
on a Unix socket, or with a password and no token are not asked.

An object of this module keeps the servers' last answers, and belongs to one thread at a time.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psutil

from .top_files import HIGHEST_PORT, objects, printable

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 0.5
"""Seconds that a server may take to tell its kernels."""
RESTART_PATIENCE = 60.0
"""Seconds that a server may take to restart a kernel: it waits until the new one answers."""
LARGEST = 1 << 22
"""Bytes of the longest list of kernels that is read."""
LOOPBACK = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1", "::1": "::1"}
EVERYWHERE = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
OK = range(200, 300)


@dataclass(frozen=True)
class Server:
    """A server on this machine."""

    host: str
    port: int
    base: str
    """What its addresses begin with: /, or /user/name/."""
    token: str = field(repr=False)
    pid: int

    @property
    def url(self) -> str:
        """The server's address, without the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.base}"


@dataclass(frozen=True)
class Session:
    """What a server knows of a kernel that it started."""

    server: Server
    kernel_id: str
    state: str | None = None
    path: str | None = None
    """The notebook's path on the server; None for a kernel without one."""


def parse(fields: dict[str, Any]) -> Server | None:
    """Read the file that a server left; None if it is none, or none that can be asked. Pure."""
    host, port, pid = fields.get("hostname"), fields.get("port"), fields.get("pid")
    base, token = fields.get("base_url", "/"), fields.get("token")
    if fields.get("secure") or fields.get("sock") or not token:
        return None
    texts = (host, base, token)
    if not all(isinstance(text, str) and text.isascii() and text.isprintable() for text in texts):
        return None
    if not isinstance(port, int) or not 0 < port <= HIGHEST_PORT or not isinstance(pid, int):
        return None
    loopback = (LOOPBACK | EVERYWHERE).get(str(host))
    if loopback is None or not str(base).startswith("/") or pid <= 0:
        return None
    return Server(loopback, port, quote(str(base).rstrip("/") + "/"), str(token), pid)


class Servers:
    """The servers whose files stand in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told: dict[Server, dict[str, Session]] = {}

    def sessions(self) -> dict[str, Session]:
        """Ask all servers; give what they know of each kernel, by its id.

        What a server that takes too long has said before still counts.
        """
        before, self._told = self._told, {}
        for path, fields in objects(self._folder):
            server = parse(fields) if path.name.startswith(("jpserver-", "nbserver-")) else None
            if server is not None and psutil.pid_exists(server.pid):
                told = _ask(server)
                self._told[server] = before.get(server, {}) if told is None else told
        return {name: each for told in self._told.values() for name, each in told.items()}


def _ask(server: Server) -> dict[str, Session] | None:
    try:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
        try:
            return read(server, *(_get(connection, server, what) for what in LISTS))
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None


LISTS = ("kernels", "sessions")


def _get(connection: http.client.HTTPConnection, server: Server, what: str) -> object:
    # Whoever looks at a server does not use it: one that ends when it is idle may end.
    path = f"{server.base}api/{what}?no_track_activity=1"
    connection.request("GET", path, headers=_headers(server))
    response = connection.getresponse()
    body = response.read(LARGEST)
    if response.status not in OK:
        raise ValueError(f"the server answered {response.status}")
    return json.loads(body)


def read(server: Server, kernels: object, sessions: object) -> dict[str, Session]:
    """Read a server's two lists. What makes no sense in them is left out. Pure."""
    paths = {}
    for session in _dicts(sessions):
        kernel, path = session.get("kernel"), session.get("path")
        if isinstance(kernel, dict) and isinstance(path, str):
            paths[str(kernel.get("id"))] = printable(path)
    told = {}
    for kernel in _dicts(kernels):
        name, state = kernel.get("id"), kernel.get("execution_state")
        if isinstance(name, str):
            text = printable(state) if isinstance(state, str) else None
            told[name] = Session(server, name, text, paths.get(name) or None)
    return told


def _dicts(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def post(session: Session, action: str, patience: float = RESTART_PATIENCE) -> str | None:
    """Have a server ``interrupt`` or ``restart`` its kernel. Give why it did not, or None."""
    server = session.server
    path = f"{server.base}api/kernels/{quote(session.kernel_id, safe='')}/{action}"
    try:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=patience)
        try:
            connection.request("POST", path, body=b"{}", headers=_headers(server))
            response = connection.getresponse()
            response.read(LARGEST)
        finally:
            connection.close()
    except TimeoutError:
        return f"it did not answer for {patience:.0f} s"
    except (OSError, http.client.HTTPException) as error:
        return printable(str(error) or type(error).__name__)
    if response.status in OK:
        return None
    return f"it answered {response.status} ({printable(response.reason)})"


def _headers(server: Server) -> dict[str, str]:
    return {"Authorization": f"token {server.token}", "Content-Type": "application/json"}
