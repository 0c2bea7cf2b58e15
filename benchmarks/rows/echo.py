"""A comm that sends back what it gets, opened by the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..failures import FailedError

if TYPE_CHECKING:
    from ..client import Client
    from ..messages import Incoming

_OPEN = """\
from comm import create_comm
echo = create_comm(target_name="echo")
echo.on_msg(lambda m: echo.send(m["content"]["data"], buffers=m["buffers"]))
"""


class Echo:
    """An open comm."""

    def __init__(self, client: Client) -> None:
        """Let the kernel open it: not every kernel calls a target that a client opens."""
        opened: list[str] = []

        def heard(message: Incoming) -> None:
            if message.msg_type == "comm_open":
                opened.append(message.content["comm_id"])

        client.execute(_OPEN, heard)
        if len(opened) != 1:
            raise FailedError("no comm was opened")
        self._client = client
        self._id = opened[0]

    def once(self, buffers: Any = (), seconds: float = 30.0) -> Incoming:
        """Send a message and wait for the same back, and for idle; give what came.

        Some kernels do not say whose message an echo is, so it is known by its comm.
        """
        came: list[Incoming] = []

        def heard(message: Incoming) -> None:
            if message.msg_type == "comm_msg" and message.content["comm_id"] == self._id:
                came.append(message)

        content = {"comm_id": self._id, "data": {"n": 1}}
        self._client.request("comm_msg", content, heard, seconds=seconds, buffers=buffers)
        if len(came) != 1:
            raise FailedError(f"{len(came)} echoes")
        return came[0]
