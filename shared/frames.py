"""Length-prefixed frames on a byte stream, and a decoder that does not care how it was cut.

A frame is a magic word, the length of its payload, and the payload. The magic word costs four
bytes and tells at once when a foreign byte got between two frames; without it a stray byte would
be read as a length, and the reader would wait for gigabytes that never come.

The decoder does no I/O: bytes in, whole payloads out. What is left in it when the writer dies is a
torn frame, and is thrown away with the decoder (G20).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Buffer = bytes | bytearray | memoryview

MAGIC = 0x31484B42  # "BKH1", little-endian
LIMIT = 1 << 36
"""The longest payload that is believed, in bytes."""

_HEAD = struct.Struct("<IQ")


class FrameError(Exception):
    """The bytes are not frames of ours: whoever wrote them is not to be listened to any more."""


def encode(parts: Sequence[Buffer]) -> list[Buffer]:
    """Put a frame's head before the parts of one payload; for ``writev``, nothing is copied."""
    return [_HEAD.pack(MAGIC, sum(map(len, parts))), *parts]


class Decoder:
    """Cut a stream of bytes into payloads."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __repr__(self) -> str:
        return f"<Decoder with {self.pending} bytes pending>"

    @property
    def pending(self) -> int:
        """Bytes that do not make a whole frame yet."""
        return len(self._buffer)

    def feed(self, data: Buffer) -> Iterator[bytes]:
        """Take some bytes and give the payloads that they complete, one after another.

        Raises FrameError where the stream is no longer ours, after what stood before that. The
        decoder is of no use afterwards.
        """
        buffer = self._buffer
        buffer += data
        start, size = 0, len(buffer)
        try:
            while size - start >= _HEAD.size:
                magic, length = _HEAD.unpack_from(buffer, start)
                if magic != MAGIC or length > LIMIT:
                    raise FrameError(f"no frame begins with {bytes(buffer[start : start + 12])!r}")
                end = start + _HEAD.size + length
                if end > size:
                    break
                with memoryview(buffer) as view:
                    payload = bytes(view[start + _HEAD.size : end])
                start = end
                yield payload
        finally:
            del buffer[:start]
