"""A kernel that runs nothing: what the client, ZMQ and the machine cost by themselves.

It is started as a file, ``python floor.py CONNECTION_FILE``, answers kernel_info, execute and
shutdown requests with all the messages that the protocol asks for, and does nothing else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import zmq
from messages import Incoming, Packer

INFO = {
    "status": "ok",
    "protocol_version": "5.5",
    "implementation": "floor",
    "implementation_version": "1",
    "language_info": {
        "name": "nothing", "version": "1", "mimetype": "text/plain", "file_extension": ".txt",
    },
    "banner": "",
}  # fmt: skip


class Floor:
    """The sockets, and what is answered on them."""

    def __init__(self, connection: dict[str, Any]) -> None:
        context = zmq.Context()
        self._shell = context.socket(zmq.ROUTER)
        self._control = context.socket(zmq.ROUTER)
        self._iopub = context.socket(zmq.XPUB)
        self._iopub.sndhwm = 0
        self._iopub.setsockopt(zmq.XPUB_VERBOSE, 1)
        for name in ("shell", "control", "iopub"):
            port = connection[f"{name}_port"]
            getattr(self, f"_{name}").bind(f"tcp://{connection['ip']}:{port}")
        self._packer = Packer(connection["key"].encode(), "floor")
        self._executions = 0
        self._on = True

    def run(self) -> None:
        """Answer until told to shut down."""
        poller = zmq.Poller()
        for socket in (self._iopub, self._control, self._shell):
            poller.register(socket, zmq.POLLIN)
        while self._on:
            for socket, _ in poller.poll():
                if socket is self._iopub:
                    self._welcome(socket.recv())
                else:
                    self._answer(socket, Incoming(socket.recv_multipart()))

    def _welcome(self, subscription: bytes) -> None:
        if subscription.startswith(b"\x01"):
            content = {"subscription": subscription[1:].decode()}
            _, frames = self._packer.pack("iopub_welcome", content)
            self._iopub.send_multipart([subscription[1:], *frames])

    def _answer(self, socket: zmq.Socket[bytes], request: Incoming) -> None:
        self._publish("status", {"execution_state": "busy"}, request)
        reply: dict[str, Any] = {"status": "ok"}
        match request.msg_type:
            case "kernel_info_request":
                reply = INFO
            case "execute_request":
                self._executions += 1
                counted = {"execution_count": self._executions}
                self._publish(
                    "execute_input", {"code": request.content["code"], **counted}, request
                )
                reply |= {**counted, "user_expressions": {}, "payload": []}
            case "shutdown_request":
                reply |= {"restart": request.content["restart"]}
                self._on = False
        kind = request.msg_type.replace("_request", "_reply")
        _, frames = self._packer.pack(kind, reply, request.header)
        socket.send_multipart([*request.identities, *frames])
        self._publish("status", {"execution_state": "idle"}, request)

    def _publish(self, msg_type: str, content: dict[str, Any], parent: Incoming) -> None:
        _, frames = self._packer.pack(msg_type, content, parent.header)
        self._iopub.send_multipart([msg_type.encode(), *frames])


if __name__ == "__main__":
    Floor(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))).run()
