"""Multipart messages on a socket, without what pyzmq's own functions do for each frame.

``Socket.send_multipart`` checks every frame's type and goes through two Python functions for each;
a message of Jupyter's has seven frames, and a cell four messages. The frames here are bytes of our
own making. Measured on one machine: 1.3 microseconds a message instead of 11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import zmq
from zmq.backend import Socket as _Socket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_send: Callable[..., object] = _Socket.send
_receive: Callable[..., zmq.Frame] = _Socket.recv
_get: Callable[..., Any] = _Socket.get
# An option that is a member of an enumeration is looked up in it, each time.
_SNDMORE, _NOBLOCK = int(zmq.SNDMORE), int(zmq.NOBLOCK)
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)
_BIG = 1 << 16  # bytes of a frame that is handed over instead of copied
_BEFORE_BUFFERS = 7  # an identity, the delimiter, the signature and four dicts


def send(socket: zmq.Socket[bytes], frames: Sequence[bytes]) -> None:
    """Send frames as one message. Raises what ``Socket.send`` raises."""
    last = len(frames) - 1
    for at, frame in enumerate(frames):
        flags = _SNDMORE if at < last else 0
        _send(socket, frame, flags, len(frame) < _BIG)


def receive(socket: zmq.Socket[bytes]) -> list[bytes] | None:
    """Give the frames of the next message; None if there is none now."""
    # To ask is cheaper than an exception, which costs as much as a whole message.
    if not _get(socket, _EVENTS) & _POLLIN:
        return None
    try:
        frame = _receive(socket, _NOBLOCK, False)
    except zmq.Again:  # not seen; but a thread of the kernel would end over it
        return None
    frames = [frame.bytes]
    while frame.more:
        frame = _receive(socket, 0, False)
        if len(frames) < _BEFORE_BUFFERS or len(frame) < _BIG:
            frames.append(frame.bytes)
        else:  # a view is as good as bytes to whoever passes a buffer on
            frames.append(cast("bytes", frame.buffer))
    return frames
