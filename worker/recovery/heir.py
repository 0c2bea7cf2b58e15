"""An heir: a fresh worker that takes over what another interpreter has left, before anything else.

It says what it is about to take: a value can hang or end whoever makes it again, and the supervisor
then knows which one, and makes another heir that leaves it out.
"""

from __future__ import annotations

import linecache
import os
import pickle
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...shared.parking import Heir, Inherit, Inherited, Loading, receive, send
from . import estate, rebuilding
from .reasons import listed, reason

if TYPE_CHECKING:
    import socket
    from typing import BinaryIO

    from ..shell import ZMQInteractiveShell
    from .estate import Estate, Surroundings


def inherit(line: socket.socket, shell: ZMQInteractiveShell) -> bool:
    """Take over what this worker was told to wait for; False if it was told nothing.

    Does not return if it cannot go on: it would be neither a fresh interpreter nor an heir.
    """
    if not select.select([line], [], [], 0)[0]:  # what is there was there before this process
        return False
    try:
        first, _ = receive(line, 1)
        if not isinstance(first, Heir):
            return False
        told, fds = receive(line, 1)
        if not isinstance(told, Inherit) or len(fds) != 1:
            os._exit(1)
        with open(fds[0], "rb") as file:
            found = _Heir(line, shell.user_ns, told).take(file)
        send(line, found)
    except (EOFError, OSError):  # the supervisor is gone
        os._exit(1)
    return True


_LONGEST = 200  # characters of a name by which a part is told


class _Heir:
    def __init__(self, line: socket.socket, namespace: dict[str, Any], told: Inherit) -> None:
        self._line = line
        self._namespace = namespace
        self._most = told.most
        self._without = dict(zip(told.without, told.because, strict=False))
        self._taken: dict[str, Any] = {}
        self._lost: dict[str, str] = {}

    def take(self, file: BinaryIO) -> Inherited:
        """Take what can be taken; tell what that is."""
        left = estate.read(file.fileno())
        self._lost.update(left.lost)
        _settle(left.surroundings)
        rebuilding.build_into(self._namespace)
        builtins = self._namespace.get("__builtins__")
        self._take_parts(left, file)
        if builtins is not None:
            self._namespace["__builtins__"] = builtins  # making functions may replace them
        self._namespace.update(self._taken)
        moved = listed(self._taken)
        lost = [f"{name} ({why})" for name, why in self._lost.items()]
        return Inherited(
            moved, len(self._taken), listed(lost), len(lost), not left.whole
        )  # fmt: skip

    def _take_parts(self, left: Estate, file: BinaryIO) -> None:
        for at, part in enumerate(left.parts):
            name = ", ".join(part.names[:3])[:_LONGEST]
            if at >= self._most or name in self._without:
                why = self._without.get(name, "there was no time left")
                self._lost.update(dict.fromkeys(part.names, why))
                continue
            send(self._line, Loading(at, name, part.end - part.start))
            file.seek(part.start)
            try:
                self._taken.update(_Unpickler(file, self._namespace, self._taken).load())
            except BaseException as error:  # noqa: BLE001 - the user's classes have their say
                if left.whole:
                    os._exit(1)  # of one part of many, nothing; the rest may be had one by one
                self._lost.update(dict.fromkeys(part.names, reason(error)))


class _Unpickler(pickle.Unpickler):
    """Makes values again that contain others, which are there already."""

    def __init__(self, file: BinaryIO, namespace: dict[str, Any], others: dict[str, Any]) -> None:
        super().__init__(file)
        self._namespace = namespace
        self._others = others

    def persistent_load(self, pid: str) -> Any:
        """Give another variable, by its name; "" is all of them."""
        if not pid:
            return self._namespace
        if pid not in self._others:
            raise pickle.UnpicklingError(f"it contains {pid}")
        return self._others[pid]


def _settle(surroundings: Surroundings) -> None:
    """Be where the other interpreter was: modules are looked for there, and files."""
    with suppress(OSError):
        os.chdir(surroundings.folder)
    sys.path[:] = surroundings.path
    for name in set(os.environ) - set(surroundings.environment):
        del os.environ[name]
    os.environ.update(surroundings.environment)
    for name, source in surroundings.sources.items():
        linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
