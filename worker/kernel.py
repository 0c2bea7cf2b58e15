"""What user libraries find at ``get_ipython().kernel``.

Libraries written for ipykernel ask the kernel object for the message that is being handled, the
comm manager, the session. This is that face, and no more: nothing here makes decisions.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextvars import Token

    from .comms import Comms
    from .context import Current, Request
    from .publisher import Publisher
    from .shell import ZMQInteractiveShell


class Session:
    """``kernel.session``: a way to send a message of one's own."""

    def __init__(self, session_id: str, publisher: Publisher) -> None:
        self.session = session_id
        self._publisher = publisher

    def send(
        self,
        stream: object,  # noqa: ARG002 - there is one way out
        msg_or_type: str | dict[str, Any],
        content: dict[str, Any] | None = None,
        parent: object = None,  # noqa: ARG002 - it follows from who calls
        ident: object = None,  # noqa: ARG002
        buffers: list[Any] | None = None,
        track: bool = False,  # noqa: ARG002, FBT001, FBT002
        header: object = None,  # noqa: ARG002
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Publish a message on IOPub, under the request of the calling code."""
        if isinstance(msg_or_type, dict):
            content, metadata = msg_or_type["content"], msg_or_type.get("metadata")
            msg_or_type = str(msg_or_type["header"]["msg_type"])
        self._publisher.publish(msg_or_type, content or {}, metadata, buffers or ())


class Kernel:
    """The kernel, as code in a cell sees it."""

    implementation = "bulkhead"

    def __init__(
        self,
        shell: ZMQInteractiveShell,
        comms: Comms,
        current: Current,
        session: Session,
        connection_file: str,
    ) -> None:
        self.shell = shell
        self.comm_manager = comms.manager
        self.session = session
        self.connection_file = connection_file
        self.iopub_socket = None  # session.send takes it, and needs none
        self.log = logging.getLogger("bulkhead")
        # jupyter_ui_poll puts its own in place of this, and back: what is sent here waits anyway.
        self.shell_handlers: dict[str, Any] = {"execute_request": self.do_one_iteration}
        self._current = current

    def __repr__(self) -> str:
        return "<Bulkhead kernel: the supervisor owns the sockets, this is the worker>"

    def get_parent(self, channel: str = "shell") -> dict[str, Any]:  # noqa: ARG002
        """Give the message that the calling code belongs to; {} if there is none."""
        request = self._current.get()
        return request.message() if request.number else {}

    async def do_one_iteration(self) -> None:
        """Let other threads have a turn: what comes meanwhile, subshells see to by themselves."""
        await asyncio.sleep(0)

    def set_parent(self, *message: object) -> Token[Request] | None:
        """Let what the caller does belong to a message that ``get_parent`` gave.

        ipykernel wants the identities of its sender before it.
        """
        request = getattr(message[-1], "request", None) if message else None
        return self._current.enter(request) if request is not None else None

    def reset_parent(self, token: Token[Request] | None) -> None:
        """Undo ``set_parent``."""
        if token is not None:
            self._current.leave(token)

    @property
    def _parent_ident(self) -> dict[str, list[bytes]]:
        session = self._current.get().header.get("session", "")
        return {"shell": [str(session).encode()]}

    @property
    def _parent_header(self) -> dict[str, Any]:
        return self.get_parent()

    @property
    def execution_count(self) -> int:
        """The number of the next cell."""
        return int(self.shell.execution_count)

    @property
    def user_ns(self) -> dict[str, Any]:
        """The user's namespace."""
        namespace: dict[str, Any] = self.shell.user_ns
        return namespace
