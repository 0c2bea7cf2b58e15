"""A supervisor that notes, in one order, what its threads hand to their sockets.

What two sockets of a client receive has no common order. What two threads of the supervisor hand
out has: this program runs the real supervisor and writes a line for each message, within a lock
that also covers the sending, into the file named by HANDED.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import zmq
from bulkhead_kernel.supervisor import multipart

NAMES = {zmq.XPUB: "iopub", zmq.ROUTER: "router"}


def handed(path):
    """Read what was handed: (kind of socket, msg_type, parent's msg_id, what it says)."""
    return [tuple(json.loads(line)) for line in Path(path).read_text().splitlines()]


def watch(path):
    """Note every message from now on."""
    lock = threading.Lock()
    send = multipart.send
    file = Path(path).open("a", buffering=1)  # noqa: SIM115 - for the life of the process

    def send_and_note(socket, frames):
        with lock:
            send(socket, frames)
            at = list(frames).index(b"<IDS|MSG>")
            header, parent, _, content = map(json.loads, frames[at + 2 : at + 6])
            said = content.get("execution_state") or content.get("text") or content.get("prompt")
            line = [NAMES[socket.type], header["msg_type"], parent.get("msg_id"), said]
            file.write(json.dumps(line) + "\n")

    multipart.send = send_and_note


if __name__ == "__main__":
    # The supervisor forks its zygote before it imports zmq. Here zmq is there already, with no
    # context and no thread yet, which is as good.
    from bulkhead_kernel.supervisor.__main__ import main

    watch(os.environ["HANDED"])
    main()
