"""Which request is next: taken in order of arrival, one at a time (G10, G11, G21). Pure.

While a cell runs, comm messages are offered to it besides: it takes them when it awaits something,
as a cell may await the answer of a widget. Those that it does not take come back, and nothing else
is sent before they have, so that each is in its place again.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from .checks import COMM_TYPES
from .events import ANY

if TYPE_CHECKING:
    from .events import Reply, Request
    from .post_mortem import Report


CELL = "execute_request"


class Turn(Enum):
    """What is to be done with the next request."""

    SEND = "send"
    OFFER = "offer"
    ABORT = "abort"
    REFUSE = "refuse"


class _Waiting:
    def __init__(self, request: Request, *, aborted: bool = False) -> None:
        self.request = request
        self.aborted = aborted
        self.is_comm = request.message.msg_type in COMM_TYPES


class Queue:
    """Requests for the worker, and those that it has."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._comms = 0  # how many of them are comm messages
        self._offered: set[int] = set()  # the numbers of asides that the worker has
        self.current: Request | None = None
        self.ready = False  # a worker takes requests
        self.refusing: Report | None = None
        """Set once no worker will come: why."""
        self.interrupted = 0
        """The number of a request that is to be interrupted as soon as it begins."""
        self._first = 0  # the number of the newest worker's first request

    def __repr__(self) -> str:
        offered = f"{sorted(self._offered)} are offered, " if self._offered else ""
        return f"<Queue: {self.current} runs, {offered}{len(self._waiting)} wait>"

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing is to be done, and nothing is being done."""
        return self.current is None and not self._waiting and not self._offered

    def executions(self) -> int:
        """Count the executions that wait and are not aborted."""
        return sum(
            waiting.request.message.msg_type == CELL and not waiting.aborted
            for waiting in self._waiting
        )

    def arrive(self, request: Request, *, aborted: bool = False) -> None:
        """Append a request, or one that is aborted because of a failure before it."""
        self._insert(len(self._waiting), _Waiting(request, aborted=aborted))

    def put_back(self, request: Request) -> None:
        """Take back a request that the worker never began, to its place in the order of arrival.

        A worker that died before it began a request is suspected of having died of it, but not if
        the request was only offered.
        """
        self._forget(request)
        tried = request._replace(retried=request.retried or not request.aside, aside=False)
        place = sum(waiting.request.number < request.number for waiting in self._waiting)
        self._insert(place, _Waiting(tried))

    def take_back(self) -> Request | None:
        """Give up the request that was sent, if one was: it will not be run."""
        request, self.current = self.current, None
        return request

    def over(self, reply: Reply) -> None:
        """Note that a request is over; if it failed, abort the executions behind it."""
        self._forget(reply.request)
        if reply.abort:
            for waiting in self._waiting:
                if waiting.request.message.msg_type == CELL:
                    waiting.aborted = True

    def next(self) -> tuple[Turn, Request] | None:
        """Give what is to be done now, if anything. A request that is sent becomes current."""
        if self.current is not None:
            return self._aside(self.current)
        if not self._waiting or self._offered:
            return None
        if self._waiting[0].aborted:
            return Turn.ABORT, self._pop(0)
        if self.refusing is not None:
            return Turn.REFUSE, self._pop(0)
        if not self.ready:
            return None
        self.current = self._pop(0)
        self._first = self._first or self.current.number
        return Turn.SEND, self.current

    def part(self) -> None:
        """Note that there is no worker any more."""
        self.ready = False
        self._first = 0

    def interrupt(self, before: float = ANY) -> int:
        """Interrupt the execution that waits for a worker to be ready, if one does.

        Its client sees it as running. With a worker ready nothing waits here, but behind a request
        that runs; and then that one is interrupted. If the worker became ready only just now, the
        request that waited for it is with it already: gives its number, or else 0. Only a request
        whose number is less than ``before`` is meant.
        """
        if self.current is not None and self.current.number == self._first:
            return self._first if self._first < before else 0
        if self.current is None and not self.ready:
            for waiting in self._waiting:
                if waiting.request.message.msg_type == CELL and not waiting.aborted:
                    if waiting.request.number < before:
                        self.interrupted = waiting.request.number
                    break
        return 0

    def _aside(self, running: Request) -> tuple[Turn, Request] | None:
        """Give the next comm message, if what runs is a cell, which may take it."""
        if not self._comms or not self.ready or self.refusing is not None:
            return None
        if running.message.msg_type != CELL:
            return None
        place = next(at for at, waiting in enumerate(self._waiting) if waiting.is_comm)
        request = self._pop(place)
        self._offered.add(request.number)
        return Turn.OFFER, request._replace(aside=True)

    def _insert(self, place: int, waiting: _Waiting) -> None:
        self._comms += waiting.is_comm
        self._waiting.insert(place, waiting)

    def _pop(self, place: int) -> Request:
        waiting = self._waiting[place]
        self._comms -= waiting.is_comm
        del self._waiting[place]
        return waiting.request

    def _forget(self, request: Request) -> None:
        self._offered.discard(request.number)
        if self.current is not None and self.current.number == request.number:
            self.current = None
