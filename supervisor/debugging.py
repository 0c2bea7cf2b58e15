"""The debugger, once somebody asks for it.

Most kernels are never debugged, so its parts are imported for the first debug_request and not
before: the first kernel_info_reply need not wait for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import zmq

    from .debugger import Debugger
    from .events import Reply, Request
    from .inboxes import Inboxes


class Debugging:
    """What Control and Lives tell the debugger, if there is one. Used by the main thread alone."""

    def __init__(self, inboxes: Inboxes, poller: zmq.Poller) -> None:
        self._inboxes = inboxes
        self._poller = poller
        self._debugger: Debugger | None = None

    @property
    def prefix(self) -> str:
        """What the file names of cells begin with; "" if no cell has been given one."""
        return self._debugger.prefix if self._debugger is not None else ""

    def asked(self, request: Request) -> None:
        """Take a client's debug_request."""
        if self._debugger is None:
            from .debugger import Debugger  # noqa: PLC0415 - see above

            self._debugger = Debugger(self._inboxes, self._poller)
        self._debugger.asked(request)

    def told(self, reply: Reply) -> None:
        """Take the worker's reply to what it was asked."""
        if self._debugger is not None:
            self._debugger.told(reply)

    def let_go(self) -> None:
        """Let what stands at a breakpoint go on: it was interrupted."""
        if self._debugger is not None:
            self._debugger.let_go()

    def died(self) -> None:
        """Part from a worker that has ended."""
        if self._debugger is not None:
            self._debugger.died()

    def serve(self, ready: dict[Any, int]) -> None:
        """See to those of its sockets that the poller found ready."""
        if self._debugger is not None:
            self._debugger.serve(ready)

    def close(self) -> None:
        """Leave nothing behind."""
        if self._debugger is not None:
            self._debugger.close()
