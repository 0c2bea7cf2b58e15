"""Requests on a kernel's control channel, from one that is no Jupyter client otherwise.

A kernel that does not answer is not waited for: ``Control.ask`` gives None after its patience has
ended. Only an answer that is signed with the kernel's key, and names the request, is one.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import zmq
import zmq.asyncio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .top_files import ConnectionFile

DELIMITER = b"<IDS|MSG>"
PROTOCOL_VERSION = "5.5"
FAREWELL = 500
"""Milliseconds that a request may need to leave after nobody waits for its answer any more."""


class Control:
    """Asks kernels. Belongs to one event loop; each request has a socket of its own."""

    def __init__(self) -> None:
        self._context = zmq.asyncio.Context()

    def close(self) -> None:
        """Let go of all sockets."""
        self._context.destroy(linger=0)

    async def ask(self, file: ConnectionFile, kind: str, patience: float) -> dict[str, Any] | None:
        """Send a request without content, like ``usage_request``; give the reply's content.

        None if no answer came within ``patience`` seconds.
        """
        msg_id = uuid.uuid4().hex
        try:
            with self._context.socket(zmq.DEALER, socket_class=zmq.asyncio.Socket) as socket:
                socket.linger = FAREWELL
                if file.curve is not None:
                    _encrypt(socket, *file.curve)
                socket.connect(file.control)
                await socket.send_multipart(request(file, kind, msg_id))
                async with asyncio.timeout(patience):
                    while True:
                        content = answer(file, await socket.recv_multipart(), msg_id)
                        if content is not None:
                            return content
        except (TimeoutError, zmq.ZMQError):
            return None


def _encrypt(socket: zmq.asyncio.Socket, public: bytes, secret: bytes) -> None:
    """Be a client with the kernel's own keys, as jupyter_client's are. Raises ZMQError."""
    socket.setsockopt(zmq.CURVE_SERVERKEY, public)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret)


def request(file: ConnectionFile, kind: str, msg_id: str) -> list[bytes]:
    """Give the frames of a request. Pure, but for the date."""
    header = {
        "msg_id": msg_id,
        "msg_type": kind,
        "session": msg_id,
        "username": "bulkhead-top",
        "date": datetime.now(UTC).isoformat(),
        "version": PROTOCOL_VERSION,
    }
    parts = [json.dumps(header).encode(), b"{}", b"{}", b"{}"]
    return [DELIMITER, _signature(file, parts), *parts]


def answer(file: ConnectionFile, frames: Sequence[bytes], msg_id: str) -> dict[str, Any] | None:
    """Give the content of a message that answers the request; None if it is another. Pure."""
    try:
        at = list(frames).index(DELIMITER)
        signature, *parts = frames[at + 1 : at + 6]
        header, parent, _, content = parts
        if not hmac.compare_digest(_signature(file, parts), signature):
            return None
        kind, asked, value = json.loads(header)["msg_type"], json.loads(parent), json.loads(content)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    ours = isinstance(asked, dict) and asked.get("msg_id") == msg_id
    is_reply = isinstance(kind, str) and kind.endswith("_reply")
    return value if ours and is_reply and isinstance(value, dict) else None


def _signature(file: ConnectionFile, parts: Sequence[bytes]) -> bytes:
    if not file.key:
        return b""
    return hmac.new(file.key, b"".join(parts), file.digest).hexdigest().encode()
