"""Text on its way to IOPub: decoded without splitting a character, joined without changing order.

``Captured`` holds the bytes of file descriptor 1 or 2 until it is known what stands before them.
``Streams`` joins neighbours of one stream and one parent. A print loop makes a hundred thousand
records a second and a browser can take a hundred messages, so text may wait, but only for text:
whatever else is to be published, and text of another stream or parent, pushes it out first (G5).
"""

from __future__ import annotations

import codecs

from ..shared.tuples import NamedTuple

INTERVAL = 0.02
"""Seconds between two messages of a stream that floods: fifty a second."""

PATIENCE = 0.005
"""Seconds that a line which is not ended may wait for its end: ``print`` writes that by itself."""

CAP = 1 << 18
"""Characters in one stream message. More would hold up every other message behind it, and the
client, which reads one while we make the next."""


class Text(NamedTuple):
    """Text of one stream that belongs to one request (by number)."""

    number: int
    name: str
    text: str


class Captured:
    """What was read from a captured descriptor and is not published yet.

    Counted in bytes from the beginning of the worker's life, as the marks of records are.
    """

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._released = 0
        self._read = 0  # bytes, ever
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __repr__(self) -> str:
        return f"<Captured: {self._released} bytes released, {len(self._waiting)} waiting>"

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing waits."""
        return not self._waiting

    def missing(self, mark: int) -> int:
        """Count the bytes before ``mark`` that have not been read yet."""
        return mark - self._read if mark > self._read else 0

    def add(self, data: bytes) -> None:
        """Take what was read."""
        self._waiting += data
        self._read += len(data)

    def release(self, mark: int | None = None, *, final: bool = False) -> str:
        """Give the text of the bytes before ``mark`` (None: of all bytes)."""
        count = len(self._waiting) if mark is None else max(0, mark - self._released)
        if not count and not final:
            return ""
        data = bytes(self._waiting[:count])
        del self._waiting[:count]
        self._released += len(data)
        return self._decoder.decode(data, final)


class Streams:
    """At most one run of text that waits to be published."""

    def __init__(self) -> None:
        self._number = 0
        self._name = ""
        self._pieces: list[str] = []
        self._size = 0
        self._since = 0.0  # when ``due`` first saw the text that waits
        self._next = 0.0  # when the next message may be sent

    def __repr__(self) -> str:
        return f"<Streams: {self._size} of {self._name!r} waiting>"

    def add(self, number: int, name: str, text: str) -> list[Text]:
        """Take text; give what has to be published because of it."""
        if not text:
            return []
        out = []
        if (number, name) != (self._number, self._name):
            out = self.take()
            self._number, self._name = number, name
        self._pieces.append(text)
        self._size += len(text)
        return out + self.take() if self._size >= CAP else out

    def take(self) -> list[Text]:
        """Give what waits, in pieces of at most CAP characters."""
        if not self._pieces:
            return []
        text = "".join(self._pieces)
        self._pieces.clear()
        self._size, self._since = 0, 0.0
        if len(text) <= CAP:
            return [Text(self._number, self._name, text)]
        return [
            Text(self._number, self._name, text[start : start + CAP])
            for start in range(0, len(text), CAP)
        ]

    def due(self, now: float) -> list[Text]:
        """Give what waits, if its time has come; ``now`` in seconds, monotonic."""
        if not self._pieces:
            return []
        self._since = self._since or now
        if now < self._due():
            return []
        self._next = now + INTERVAL
        return self.take()

    def wait(self, now: float) -> float | None:
        """Tell after how many seconds ``due`` will give something; None if nothing waits."""
        return max(0.0, self._due() - now) if self._pieces else None

    def _due(self) -> float:
        if self._pieces[-1].endswith("\n"):
            return self._next
        return max(self._next, self._since + PATIENCE)
