"""What is to be done after a while: deadlines of the main thread, none of which makes an order."""

from __future__ import annotations

import heapq
import time
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Timers:
    """Actions and when they are due."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()  # of two that are due at once, the older comes first

    def __repr__(self) -> str:
        return f"<Timers: {len(self._entries)}>"

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something after so many seconds; after infinity: never."""
        if seconds < float("inf"):
            entry = time.monotonic() + seconds, next(self._numbers), action
            heapq.heappush(self._entries, entry)

    def wait(self) -> int | None:
        """Give the milliseconds to the next action; None if there is none."""
        if not self._entries:
            return None
        return int(max(0.0, self._entries[0][0] - time.monotonic()) * 1000) + 1

    def run(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        while self._entries and self._entries[0][0] <= now:
            heapq.heappop(self._entries)[2]()
