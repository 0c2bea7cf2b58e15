"""A lean client: two DEALERs and a SUB of its own, no threads, and a deadline on every wait.

A request is over when both its reply and its idle have come. A kernel that lets one of them get
lost, or dies, makes the trial fail with a reason; it cannot make the benchmark hang.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import zmq

from .failures import FailedError
from .messages import Incoming, Packer

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE = 30.0  # seconds for a request that nothing else is said of
_IDLE = 5.0  # seconds of silence after a reply, until idle counts as lost
_AT_ONCE = 1000  # messages between two looks at the other sockets
_NUDGE = 0.05  # seconds until a kernel that gives no welcome is asked for a sign again


class Client:
    """One client of one kernel."""

    def __init__(self, context: zmq.Context[Any], fields: dict[str, Any]) -> None:
        """Connect shell and control at once, also to a kernel that is not there yet."""
        self._fields = fields
        self._context = context
        self.packer = Packer(fields["key"].encode(), secrets.token_hex(8))
        self.shell = self._connect(zmq.DEALER, "shell")
        self.control = self._connect(zmq.DEALER, "control")
        self.iopub: zmq.Socket[bytes] | None = None
        self.pidfd = -1
        """The kernel's process: its end ends every wait."""

    def _connect(self, kind: int, channel: str) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.linger = 0
        socket.rcvhwm = 0  # what gets lost, the kernel has lost
        socket.sndhwm = 0
        socket.reconnect_ivl = 1  # milliseconds: a kernel that starts is not measured in steps
        if kind == zmq.SUB:
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(f"tcp://{self._fields['ip']}:{self._fields[channel + '_port']}")
        return socket

    def subscribe_at_once(self) -> zmq.Socket[bytes]:
        """Give a new SUB, of which the kernel may not have heard yet."""
        return self._connect(zmq.SUB, "iopub")

    def subscribe(self) -> zmq.Socket[bytes]:
        """Give a new SUB that has been heard of by the kernel: by its welcome, or any message."""
        socket = self._connect(zmq.SUB, "iopub")
        deadline = time.monotonic() + DEADLINE
        while not socket.poll(int(_NUDGE * 1000)):
            if time.monotonic() > deadline:
                raise FailedError("nothing comes on iopub")
            self.reply(self.send("kernel_info_request", {}))
        return socket

    def listen(self) -> None:
        """Subscribe, and wait until a request of ours is seen to be over."""
        self.iopub = self.subscribe()
        self.request("kernel_info_request", {})

    def send(
        self, msg_type: str, content: dict[str, Any], *, on_control: bool = False, buffers: Any = ()
    ) -> str:
        """Send a request, and give its id."""
        msg_id, frames = self.packer.pack(msg_type, content, buffers=buffers)
        socket = self.control if on_control else self.shell
        socket.send_multipart(frames, copy=not buffers)
        return msg_id

    def reply(
        self, msg_id: str, seconds: float = DEADLINE, *, on_control: bool = False
    ) -> Incoming:
        """Wait for a reply, whatever is published meanwhile."""
        socket = self.control if on_control else self.shell
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(self.pidfd, zmq.POLLIN)
        deadline = time.monotonic() + seconds
        while True:
            ready = dict(poller.poll(_left(deadline)))
            if socket in ready:
                message = Incoming(socket.recv_multipart())
                if message.parent_id == msg_id:
                    return message
            elif ready:
                raise FailedError("the kernel ended")
            elif time.monotonic() > deadline:
                raise FailedError(f"hung > {seconds:g} s")

    def request(
        self,
        msg_type: str,
        content: dict[str, Any],
        heard: Callable[[Incoming], None] = lambda _: None,
        *,
        seconds: float = DEADLINE,
        buffers: Any = (),
    ) -> Incoming | None:
        """Send a request and wait until it is over; ``heard`` gets what is published meanwhile.

        Gives the reply (None to a comm message, which has none).
        """
        msg_id = self.send(msg_type, content, buffers=buffers)
        over = {msg_id}
        replies = set() if msg_type.startswith("comm_") else {msg_id}
        return self.finish(replies, over, heard, seconds=seconds)

    def finish(
        self,
        replies: set[str],
        idles: set[str],
        heard: Callable[[Incoming], None],
        *,
        seconds: float,
    ) -> Incoming | None:
        """Wait for these replies and idles; give the last reply."""
        assert self.iopub is not None, "listen first"
        poller = zmq.Poller()
        for source in (self.iopub, self.shell, self.pidfd):
            poller.register(source, zmq.POLLIN)
        deadline = time.monotonic() + seconds
        last = None
        while replies or idles:
            silence = deadline if replies else min(deadline, time.monotonic() + _IDLE)
            ready = dict(poller.poll(_left(silence)))
            if self.iopub in ready:
                self._hear(idles, heard)
            if self.shell in ready:
                last = Incoming(self.shell.recv_multipart())
                replies.discard(last.parent_id)
            if ready and not (self.iopub in ready or self.shell in ready):
                raise FailedError("the kernel ended")
            if not ready or time.monotonic() > deadline:
                raise FailedError(f"hung > {seconds:g} s" if replies or ready else "lost idle")
        return last

    def _hear(self, idles: set[str], heard: Callable[[Incoming], None]) -> None:
        """Take what is there. A client that looks before each message would be what is measured."""
        assert self.iopub is not None, "listen first"
        for _ in range(_AT_ONCE):
            try:
                message = Incoming(self.iopub.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                return
            if not message.is_status:
                heard(message)
            elif b'"idle"' in message.raw:
                idles.discard(message.parent_id)

    def execute(
        self,
        code: str,
        heard: Callable[[Incoming], None] = lambda _: None,
        *,
        seconds: float = DEADLINE,
    ) -> Incoming:
        """Execute a cell that must not fail."""
        reply = self.request("execute_request", cell(code), heard, seconds=seconds)
        assert reply is not None, "an execute_request has a reply"
        check(reply)
        return reply

    def close(self) -> None:
        """Close the sockets."""
        for socket in (self.shell, self.control, self.iopub):
            if socket is not None:
                socket.close()


def cell(code: str) -> dict[str, Any]:
    """Give the content of an execute_request."""
    return {
        "code": code,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }


def check(reply: Incoming) -> None:
    """Raise FailedError if a cell ended in an error."""
    content = reply.content
    if content["status"] != "ok":
        raise FailedError(f"{content.get('ename', content['status'])} in the cell")


def _left(deadline: float) -> int:
    """Give the milliseconds that are left, at least 1."""
    return max(1, int((deadline - time.monotonic()) * 1000))
