"""The other end of a restart in place: the provisioner, in the process of Jupyter's server.

It started us with one end of a pair of sockets, and so it can be told when a restart is done, while
the supervisor, its ports and its sockets stay. Each line is one restart: the session of the client
that asked for it, as JSON. The provisioner says nothing; when its end is gone, nobody is left who
could keep us, and a restart ends this process again, as it does without a provisioner.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .wire import Message

NOBODY = -1


class Provisioner:
    """Our end of the pair; Control's."""

    def __init__(self, fd: int) -> None:
        """Take the descriptor that we were started with; NOBODY for none.

        Raises OSError for one that is no socket.
        """
        self._socket: socket.socket | None = None
        if fd != NOBODY:
            self._socket = socket.socket(fileno=fd)
            self._socket.setblocking(False)
            self._socket.set_inheritable(False)

    def __repr__(self) -> str:
        return f"<Provisioner: {'there' if self.is_there else 'not there'}>"

    @property
    def is_there(self) -> bool:
        """Tell if somebody is there who wants to keep us over a restart."""
        return self._socket is not None

    def fileno(self) -> int | None:
        """Give the descriptor that is readable once the provisioner is gone; None if it is."""
        return None if self._socket is None else self._socket.fileno()

    def heard(self) -> bool:
        """Read what came; tell if that was the end of the provisioner."""
        if self._socket is None:
            return False
        try:
            data = self._socket.recv(1 << 12)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            return False  # it has nothing to say that we know
        self.close()
        return True

    def tell(self, message: Message) -> None:
        """Tell that the restart is done that this message had asked for."""
        session = json.loads(message.header).get("session", "")
        if self._socket is not None:
            with suppress(OSError):  # full, or gone: then nobody waits for this
                self._socket.send(json.dumps(session).encode() + b"\n")

    def close(self) -> None:
        """Let go of the pair."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
