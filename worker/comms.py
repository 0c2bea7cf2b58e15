"""Comms: the ``comm`` package's hooks, with our own way out.

The manager of the ``comm`` package is kept as it is; it knows targets and handlers, and logs what
fails in them. Ours is only how a message leaves, and telling the supervisor, whose table of open
comms answers comm_info.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import comm
from comm.base_comm import BaseComm, CommManager

if TYPE_CHECKING:
    from collections.abc import Callable

    from .context import Request
    from .publisher import Publisher


COMM_MESSAGES = frozenset({"comm_open", "comm_msg", "comm_close"})


class Comm(BaseComm):  # type: ignore[misc]
    """The kernel's end of a comm."""

    publisher: Publisher

    def publish_msg(
        self,
        msg_type: str,
        data: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        buffers: list[Any] | None = None,
        **keys: Any,
    ) -> None:
        """Send a message of this comm; ``keys`` are more fields of its content."""
        content = {"data": data or {}, "comm_id": self.comm_id, **keys}
        self.publisher.comm(
            msg_type, self.comm_id, self.target_name, content, metadata, buffers or ()
        )


class Comms:
    """What the kernel does with comm messages of a client."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.manager = CommManager()

    def install(self) -> None:
        """Make ``comm.create_comm`` and ``comm.get_comm_manager`` the kernel's own."""
        Comm.publisher = self._publisher
        comm.create_comm = Comm
        comm.get_comm_manager = lambda: self.manager

    def handlers(self) -> dict[str, Callable[[Request], None]]:
        """Give the handler of each message type."""
        return {
            "comm_open": self._open,
            "comm_msg": self._message,
            "comm_close": self._close,
        }

    def _open(self, request: Request) -> None:
        comm_id, target_name = _names(request, "comm_id", "target_name")
        self.manager.comm_open(None, None, request.message())
        if comm_id in self.manager.comms:  # not refused for want of its target
            self._publisher.comm_accepted(comm_id, target_name)

    def _message(self, request: Request) -> None:
        (comm_id,) = _names(request, "comm_id")
        if comm_id not in self.manager.comms:
            self._publisher.log("debug", f"a message for comm {comm_id}, which is not open")
            return
        self.manager.comm_msg(None, None, request.message())

    def _close(self, request: Request) -> None:
        (comm_id,) = _names(request, "comm_id")
        try:
            if comm_id in self.manager.comms:
                self.manager.comm_close(None, None, request.message())
            else:
                self._publisher.log("info", f"comm {comm_id} was closed from both ends")
        finally:
            self._publisher.comm_forgotten(comm_id)


def _names(request: Request, *fields: str) -> list[str]:
    """Read fields that must be strings. Raises ValueError."""
    values = [request.content.get(field) for field in fields]
    for field, value in zip(fields, values, strict=True):
        if not isinstance(value, str):
            raise ValueError(f"{request.msg_type}: {field} must be a string, not {value!r:.40}")  # noqa: TRY004 - the client's fault
    return [str(value) for value in values]
