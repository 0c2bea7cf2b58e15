"""How one thread tells another something: a queue that can be polled beside sockets.

First in, first out; putting never blocks and never loses; one thread takes. The descriptor is
readable as soon as something was put, so a poller needs no time-out.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Inbox(Generic[T]):
    """A pollable queue with any number of writers and one reader."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def __repr__(self) -> str:
        return f"<Inbox of {len(self._items)}>"

    def fileno(self) -> int:
        """Give the descriptor to poll for reading."""
        return self._reader

    def put(self, item: T) -> None:
        """Append an item and wake the reader. Safe from any thread and from a signal handler."""
        # The item first: a reader that is awake takes it, and at worst wakes once more for nothing.
        self._items.append(item)
        self.wake()

    def append(self, item: T) -> None:
        """Append an item without waking the reader, which something else will do soon."""
        self._items.append(item)

    def wake(self) -> None:
        """Make the descriptor readable. A full pipe is as readable as it gets."""
        try:  # noqa: SIM105 - ``suppress`` takes longer than what it would be for
            os.write(self._writer, b"\0")
        except BlockingIOError:
            pass

    def drain(self) -> Iterator[T]:
        """Take everything that was put, also what is put while taking."""
        # The wake-ups first: what is put after this line wakes the reader again.
        try:  # noqa: SIM105 - as above
            os.read(self._reader, 4096)
        except BlockingIOError:
            pass
        while self._items:
            yield self._items.popleft()

    def close(self) -> None:
        """Close both ends."""
        os.close(self._reader)
        os.close(self._writer)
