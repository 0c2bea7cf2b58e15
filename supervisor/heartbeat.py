"""The heartbeat: what comes is sent back, by C code that never takes the GIL.

A thread of its own and a ZMQ context of its own, so that nothing that the kernel does can hold it
up ("Heartbeat for kernels" in the messaging documentation).
"""

from __future__ import annotations

import threading
from typing import Any

import zmq


class Heartbeat:
    """Echo on one socket until its context is terminated."""

    def __init__(self, context: zmq.Context[Any], socket: zmq.Socket[bytes]) -> None:
        self._context = context
        self._socket = socket
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._context.term()
        self._thread.join()

    def _run(self) -> None:
        try:
            zmq.proxy(self._socket, self._socket)
        except zmq.ContextTerminated:
            self._socket.close(linger=0)
