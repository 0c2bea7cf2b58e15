"""The requests that the worker has, and those that it can still name. Pure.

It has one of each shell at most, and besides a cell the comm messages that the cell may take. It
can name a request, in late output, until it says itself that nothing there can any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .wire import NO_PARENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .events import Request


class Open:
    """A request that was sent to the worker and is not over."""

    def __init__(self, request: Request, count: int) -> None:
        self.request = request
        self.begun = False
        self.count = count
        """Its execution_count, or the newest that is known."""

    def __repr__(self) -> str:
        return f"<Open {self.request.number}, {'begun' if self.begun else 'sent'}>"

    @property
    def is_cell(self) -> bool:
        """Tell whether it is a cell."""
        return self.request.message.msg_type == "execute_request"


class Requests:
    """All that belong to one worker."""

    def __init__(self) -> None:
        self._open: dict[int, Open] = {}
        self._parents: dict[int, bytes] = {}  # headers of requests that the worker can still name
        self._forgotten: set[int] = set()  # ... and those that it cannot
        self._cell = 0  # the newest cell: what is written by nobody known belongs to it
        self.count = 0
        """The newest execution_count."""
        self.next_count = 1
        """The execution_count of the next cell."""

    def __repr__(self) -> str:
        return f"<Requests: {list(self._open.values())} open>"

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def await_begin(self) -> bool:
        """Tell whether any of them is to begin at once, and has not begun."""
        return any(not one.begun and not one.request.aside for one in self._open.values())

    def get(self, number: int) -> Open | None:
        """Give the request of this number, if it was sent and is not over."""
        return self._open.get(number)

    def running(self, number: int) -> Open | None:
        """Give the request of this number, if it has begun and is not over."""
        found = self._open.get(number)
        return found if found is not None and found.begun else None

    def sent(self, request: Request) -> None:
        """Note a request that goes to the worker."""
        for other in self._open.values():
            one_at_a_time = request.aside or other.request.subshell != request.subshell
            assert one_at_a_time, "Shell sends one request at a time"
        self._open[request.number] = Open(request, self.count)
        self._parents[request.number] = request.message.header

    def begin(self, number: int, count: int, forgotten: Iterable[int]) -> Request:
        """Note that a request has begun, and which ones the worker cannot name any more."""
        begun = self._open[number]
        begun.begun = True
        begun.count = self.count = self.next_count = count
        self.next_count += begun.is_cell
        # A subshell's cell is the newest one until the main shell has run one of its own.
        if begun.is_cell and (begun.request.subshell is None or not self._cell):
            self._cell = number
        self._forgotten.update(forgotten)
        if self._forgotten:
            for gone in self._forgotten - self._open.keys() - {self._cell}:
                self._forgotten.discard(gone)
                self._parents.pop(gone, None)
        return begun.request

    def over(self, number: int, count: int) -> Request:
        """Note that a request is over; the next cell will have this number.

        Silent and empty cells are not counted, which only the worker knows. It may not have known
        of a subshell's cell yet that has begun meanwhile.
        """
        over = self._open.pop(number).request
        begun = (one.count + 1 for one in self._open.values() if one.begun and one.is_cell)
        self.next_count = max(count, *begun, 1)
        return over

    def drop(self, number: int) -> None:
        """Forget a request that will never begin."""
        if self._open.pop(number, None) is not None:
            self._parents.pop(number, None)

    def take_back(self, number: int) -> Request:
        """Give a request that has not begun, which is not the worker's any more."""
        self._parents.pop(number, None)
        return self._open.pop(number).request

    def owner(self) -> int:
        """Tell to which request bytes belong that were written by who cannot be asked.

        To what runs, the main shell's first, and of its own the newest; or else to the newest cell.
        """
        mains = others = 0
        for one in self._open.values():
            if one.begun and one.request.subshell is None:
                mains = one.request.number
            elif one.begun:
                others = one.request.number
        return mains or others or self._cell

    def parent(self, number: int) -> bytes:
        """Give the header of a request that the worker can name."""
        return self._parents.get(number, NO_PARENT)

    def end(self) -> list[Open]:
        """Take what was open as over: the worker is dead. What a cell has taken comes before it."""
        left = list(self._open.values())
        self._open.clear()
        asides = [one for one in left if one.request.aside]
        return asides[::-1] + [one for one in left if not one.request.aside]

    def forget(self) -> None:
        """Forget what the dead worker could name; no other can."""
        self._parents.clear()
        self._forgotten.clear()
        self._cell = self.count = 0
        self.next_count = 1
