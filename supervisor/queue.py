"""Which request is next: taken in order of arrival, one at a time (G10, G11, G21). Pure."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .events import Reply, Request
    from .post_mortem import Report


class Turn(Enum):
    """What is to be done with the next request."""

    SEND = "send"
    ABORT = "abort"
    REFUSE = "refuse"


class _Waiting:
    def __init__(self, request: Request, *, aborted: bool = False) -> None:
        self.request = request
        self.aborted = aborted


class Queue:
    """Requests for the worker, and the one that it has."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self.current: Request | None = None
        self.ready = False  # a worker takes requests
        self.refusing: Report | None = None
        """Set once no worker will come: why."""
        self.interrupted = 0
        """The number of a request that is to be interrupted as soon as it begins."""
        self._first = 0  # the number of the newest worker's first request

    def __repr__(self) -> str:
        return f"<Queue: {self.current} runs, {len(self._waiting)} wait>"

    def __len__(self) -> int:
        return len(self._waiting)

    def executions(self) -> int:
        """Count the executions that wait and are not aborted."""
        return sum(
            waiting.request.message.msg_type == "execute_request" and not waiting.aborted
            for waiting in self._waiting
        )

    def arrive(self, request: Request, *, aborted: bool = False) -> None:
        """Append a request, or one that is aborted because of a failure before it."""
        self._waiting.append(_Waiting(request, aborted=aborted))

    def put_back(self, request: Request) -> None:
        """Take back a request that the worker never began: it is next."""
        self._forget(request)
        self._waiting.appendleft(_Waiting(request))

    def take_back(self) -> Request | None:
        """Give up the request that was sent, if one was: it will not be run."""
        request, self.current = self.current, None
        return request

    def over(self, reply: Reply) -> None:
        """Note that a request is over; if it failed, abort the executions behind it."""
        self._forget(reply.request)
        if reply.abort:
            for waiting in self._waiting:
                if waiting.request.message.msg_type == "execute_request":
                    waiting.aborted = True

    def next(self) -> tuple[Turn, Request] | None:
        """Give what is to be done now, if anything. A request that is sent becomes current."""
        if self.current is not None or not self._waiting:
            return None
        if self._waiting[0].aborted:
            return Turn.ABORT, self._waiting.popleft().request
        if self.refusing is not None:
            return Turn.REFUSE, self._waiting.popleft().request
        if not self.ready:
            return None
        self.current = self._waiting.popleft().request
        self._first = self._first or self.current.number
        return Turn.SEND, self.current

    def part(self) -> None:
        """Note that there is no worker any more."""
        self.ready = False
        self._first = 0

    def interrupt(self) -> int:
        """Interrupt the execution that waits for a worker to be ready, if one does.

        Its client sees it as running. With a worker ready nothing waits here, but behind a request
        that runs; and then that one is interrupted. If the worker became ready only just now, the
        request that waited for it is with it already: gives its number, or else 0.
        """
        if self.current is not None and self.current.number == self._first:
            return self._first
        if self.current is None and not self.ready:
            for waiting in self._waiting:
                if waiting.request.message.msg_type == "execute_request" and not waiting.aborted:
                    self.interrupted = waiting.request.number
                    break
        return 0

    def _forget(self, request: Request) -> None:
        if self.current is not None and self.current.number == request.number:
            self.current = None
