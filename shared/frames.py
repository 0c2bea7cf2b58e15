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

BIG = 1 << 17
"""Bytes of a payload from which on it is worth memory of its own."""

HUGE = 1 << 30
"""... and up to which: a length may be anybody's, and what it asks for is not given unseen."""

_HEAD = struct.Struct("<IQ")


class FrameError(Exception):
    """The bytes are not frames of ours: whoever wrote them is not to be listened to any more."""


def encode(parts: Sequence[Buffer]) -> list[Buffer]:
    """Put a frame's head before the parts of one payload; for ``writev``, nothing is copied."""
    return [_HEAD.pack(MAGIC, sum(map(len, parts))), *parts]


class Decoder:
    """Cut a stream of bytes into payloads.

    A payload of BIG bytes or more gets memory of its own as soon as its head is there. Whoever
    reads may read right into it (``space`` and ``filled``): bytes that come by the megabyte are not
    to be copied about.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._big: memoryview | None = None  # a payload that is not whole yet
        self._filled = 0  # bytes of it that are there

    def __repr__(self) -> str:
        return f"<Decoder with {self.pending} bytes pending>"

    @property
    def pending(self) -> int:
        """Bytes that do not make a whole frame yet."""
        return len(self._buffer) + (self._filled + _HEAD.size if self._big is not None else 0)

    def space(self) -> memoryview | None:
        """Give the memory that the next bytes are for, if they belong to one big payload."""
        return None if self._big is None else self._big[self._filled :]

    def filled(self, count: int) -> Iterator[Buffer]:
        """Take note of bytes that were read into ``space``; give the payload if it is whole."""
        assert self._big is not None, "there was space to be filled"
        self._filled += count
        if self._filled == len(self._big):
            payload, self._big = self._big, None
            yield payload

    def feed(self, data: Buffer) -> Iterator[Buffer]:
        """Take some bytes and give the payloads that they complete, one after another.

        Raises FrameError where the stream is no longer ours, after what stood before that. The
        decoder is of no use afterwards.
        """
        if self._big is not None:
            view = memoryview(data)
            room = len(self._big) - self._filled
            taken = min(room, len(view))
            self._big[self._filled : self._filled + taken] = view[:taken]
            yield from self.filled(taken)
            data = view[taken:]
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
                    if BIG <= length <= HUGE:
                        start = self._begin_big(buffer, start + _HEAD.size, length)
                    break
                with memoryview(buffer) as view:
                    payload = bytes(view[start + _HEAD.size : end])
                start = end
                yield payload
        finally:
            del buffer[:start]

    def _begin_big(self, buffer: bytearray, start: int, length: int) -> int:
        self._big = memoryview(bytearray(length))
        self._filled = len(buffer) - start
        self._big[: self._filled] = memoryview(buffer)[start:]
        return len(buffer)
