"""Numbers of cells: two that run at the same time never have the same.

IPython takes the shell's ``execution_count`` for the running cell's number, and adds one when the
cell begins (from 9.18) or ends (before). So each thread sees the number of its own cell, counted on
as IPython likes, and everybody else the number of the next cell.
"""

from __future__ import annotations

import threading

from .here import here


class Counter:
    """Hands out the numbers."""

    def __init__(self) -> None:
        self._next = 1
        self._lock = threading.Lock()

    def get(self) -> int:
        """Give the number of the calling thread's cell, or of the next one."""
        return self._next if here.count is None else here.count

    def upcoming(self) -> int:
        """Give the number of the next cell."""
        return self._next

    def set(self, value: int) -> None:
        """Take what IPython, or ``%reset``, counts on to."""
        if here.count is None:
            self._next = value
        else:
            here.count = value

    def begin(self) -> int:
        """Give the calling thread's cell a number of its own."""
        with self._lock:
            here.count = number = self._next
            self._next = number + 1
        return number

    def end(self, number: int) -> None:
        """Note that the calling thread's cell is over. If IPython never counted it, none did."""
        count, here.count = here.count, None
        with self._lock:
            if count == number and self._next == number + 1:
                self._next = number
            elif count is not None and count < number:
                self._next = count  # a reset
            elif count is not None:
                self._next = max(self._next, count)  # it ran cells of its own
