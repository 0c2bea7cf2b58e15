"""The framing of the Debug Adapter Protocol: ``Content-Length``, an empty line, JSON.

Pure and incremental. Any bytes are messages or a FramingError: what they say comes from the worker,
and is believed no more than anything else of it (G26).
"""

from __future__ import annotations

import json
import re
from typing import Any

Message = dict[str, Any]

_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"content-length: *([0-9]{1,10})", re.IGNORECASE)
_LONGEST_HEAD = 4096
_LARGEST = 1 << 28  # bytes: more is no answer to a question that a frontend asks


class FramingError(Exception):
    """Bytes that are no message of the protocol."""


def encode(message: Message) -> bytes:
    """Make the frame of a message."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return b"Content-Length: %d%s%s" % (len(body), _END, body)


class Decoder:
    """Bytes in, in any pieces; whole messages out."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._size: int | None = None  # of the body that comes; None while its head does

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes; give the messages that they complete. Raises FramingError."""
        self._data += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> Message | None:
        if self._size is None:
            end = self._data.find(_END, 0, _LONGEST_HEAD)
            if end < 0:
                if len(self._data) >= _LONGEST_HEAD:
                    raise FramingError("the head of a message has no end")
                return None
            self._size = _length(bytes(self._data[:end]))
            del self._data[: end + len(_END)]
        if len(self._data) < self._size:
            return None
        body = bytes(self._data[: self._size])
        del self._data[: self._size]
        self._size = None
        return _message(body)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if (found := _LENGTH.fullmatch(line)) and (size := int(found[1])) <= _LARGEST:
            return size
    raise FramingError(f"the head of a message tells no length that can be: {head[:100]!r}")


def _message(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FramingError(f"a message is no JSON: {error}") from error
    if not isinstance(message, dict):
        raise FramingError(f"a message is no object: {body[:100]!r}")
    return message
