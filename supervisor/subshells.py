"""The subshells that clients have made (JEP 91). Used by Shell alone.

A subshell is its id, and a lane. Its thread in the worker, and the pipe to it, are there from when
it is made, or in a later worker from its first request on: ids outlive a worker that crashes,
because clients do not hear that it did, and go on using them.

It is deleted at once for its clients. What was sent to it before is still run; then its pipe is
closed, at which its thread ends.
"""

from __future__ import annotations

import os
from collections import deque
from itertools import count
from typing import TYPE_CHECKING

import zmq

from ..shared.orders import INTERRUPT, OPEN, Order
from . import events
from .errors import MalformedMessageError
from .lane import NO_PIPE, Lane
from .pipes import for_subshell
from .post_mortem import no_subshell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .events import Request, ToControl, ToIOPub, Worker
    from .inbox import Inbox

    Answer = Callable[[Request, str, dict[str, object]], None]

ASKED = frozenset({"create_subshell_request", "delete_subshell_request", "list_subshell_request"})
"""What clients ask on the control channel."""


class Subshells:
    """All of them, and how the worker hears of them."""

    def __init__(
        self,
        poller: zmq.Poller,
        to_control: Inbox[ToControl],
        to_iopub: Inbox[ToIOPub],
        answer: Answer,
    ) -> None:
        self._poller = poller
        self._to_control = to_control
        self._to_iopub = to_iopub
        self._answer = answer
        self._lanes: dict[str, Lane] = {}
        self._numbers = count(1)
        self._worker: Worker | None = None
        self._orders: deque[Order] = deque()  # that the worker has yet to be given
        self._ending: dict[int, Request] = {}  # by number: who waits for the thread to be gone

    def __repr__(self) -> str:
        return f"<Subshells: {list(self._lanes.values())}>"

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()) if self._lanes else ())

    def find(self, name: str) -> Lane | None:
        """Give the subshell of this id, if there is one that takes requests."""
        lane = self._lanes.get(name)
        return None if lane is None or lane.deleted else lane

    def lane_of(self, request: Request) -> Lane | None:
        """Give the subshell that was given this request."""
        return self._lanes.get(request.subshell or "")

    # What clients ask.

    def asked(self, request: Request, like: Lane) -> None:
        """Answer a request about subshells. A new one is refused what the main one is."""
        msg_type = request.message.msg_type
        if msg_type == "create_subshell_request":
            self._create(request, like)
        elif msg_type == "delete_subshell_request":
            self._delete(request)
        else:
            names = [lane.name for lane in self if not lane.deleted]
            self._answer(request, "list_subshell_reply", {"status": "ok", "subshell_id": names})

    def _create(self, request: Request, like: Lane) -> None:
        name = os.urandom(16).hex()
        lane = self._lanes[name] = Lane(self._poller, name)
        lane.queue.ready, lane.queue.refusing = like.queue.ready, like.queue.refusing
        if self._worker is not None:
            self.open(lane)
        self._answer(request, "create_subshell_reply", {"status": "ok", "subshell_id": name})

    def _delete(self, request: Request) -> None:
        try:
            name = request.message.parsed_content().get("subshell_id")
        except MalformedMessageError as error:
            self._answer(request, "delete_subshell_reply", failure("ValueError", str(error)))
            return
        lane = self.find(name) if isinstance(name, str) else None
        if lane is None:
            self._answer(request, "delete_subshell_reply", unknown(name))
            return
        lane.deleted = True
        if lane.is_idle and lane.pipe != NO_PIPE:
            self._ending[lane.number] = request  # whoever has the reply finds no thread
        else:
            self._answer(request, "delete_subshell_reply", {"status": "ok"})

    def sweep(self) -> None:
        """Let go of those that are deleted and have nothing left to do."""
        for lane in self:
            if lane.deleted and lane.is_idle:
                lane.part()
                del self._lanes[lane.name or ""]

    # The worker.

    def attach(self, worker: Worker) -> None:
        """Begin with a worker. The subshells get their threads with their next requests."""
        self._worker = worker
        for lane in self:
            lane.queue.ready, lane.queue.refusing = True, None

    def part(self) -> None:
        """Let go of the worker, and with it of all threads."""
        for lane in self:
            lane.part()
            lane.queue.part()
        for order in self._orders:
            if order.requests != NO_PIPE:
                os.close(order.requests)
        self._orders.clear()
        if self._worker is not None:
            if self._worker.orders.fileno() in self._poller:
                self._poller.unregister(self._worker.orders.fileno())
            self._worker.orders.close()
            self._worker = None
        for number in list(self._ending):
            self._gone(number)

    def open(self, lane: Lane) -> None:
        """Have the worker start the thread of a subshell."""
        try:
            requests, ours = for_subshell()
        except OSError as error:  # there are no more descriptors
            lane.queue.refusing = no_subshell(str(error))
            return
        lane.number = next(self._numbers)
        lane.attach(ours)
        self._orders.append(Order(OPEN, lane.number, requests))
        self.write()

    def interrupt(self, lane: Lane, before: float) -> None:
        """Interrupt what runs in a subshell, if its number is less than ``before``."""
        current = lane.queue.current
        if current is not None and current.number < before:
            self._orders.append(Order(INTERRUPT, current.number))
            self.write()

    def write(self) -> None:
        """Give the worker the orders that it takes; ask the poller to tell when it takes more."""
        worker, orders = self._worker, self._orders
        if worker is None or not orders:
            return
        socket = worker.orders.fileno()
        given = 0
        try:
            while orders and worker.orders.give(orders[0]):
                given += 1
                if (order := orders.popleft()).requests != NO_PIPE:
                    os.close(order.requests)
        except OSError:
            return  # it is dead; IOPub will say so
        if given:
            self._to_control.put(events.Ordered(worker.generation))
        if orders and socket not in self._poller:
            self._poller.register(socket, zmq.POLLOUT)
        elif not orders and socket in self._poller:
            self._poller.unregister(socket)

    def ended(self, number: int) -> None:
        """Note that a thread has ended: it was deleted, or it could not be started."""
        if number in self._ending:
            self._gone(number)
            return
        for lane in self:
            if lane.number == number and lane.pipe != NO_PIPE:
                lane.part()
                lane.queue.refusing = why = no_subshell("no thread can be started")
                if (request := lane.queue.take_back()) is not None:
                    self._to_iopub.put(events.Refuse(request, why))

    def clear(self) -> None:
        """Forget all: the kernel begins anew, for its clients, too."""
        self._lanes.clear()

    def _gone(self, number: int) -> None:
        self._answer(self._ending.pop(number), "delete_subshell_reply", {"status": "ok"})


def unknown(name: object) -> dict[str, object]:
    """Give the content of a reply to whoever names a subshell that is not there."""
    return failure("UnknownSubshellError", f"Unknown subshell_id {name!r}")


def failure(ename: str, evalue: str) -> dict[str, object]:
    """Give the content of a reply that tells an error."""
    return {"status": "error", "ename": ename, "evalue": evalue, "traceback": []}
