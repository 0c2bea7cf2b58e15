"""The Shell thread: the shell and stdin sockets, and the pipe on which requests go to the worker.

It answers what the supervisor knows by itself at once, whatever runs, and gives the worker one
request at a time. It never waits for anything but its poller: a request that is larger than the
pipe, or a worker that does not read, holds up nobody (races 24 to 26).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from itertools import count
from typing import TYPE_CHECKING

import zmq

from ..shared import records
from ..shared.ledger import Slot
from ..shared.records import Kind
from . import events, multipart
from .answers import FOR_THE_WORKER, reply_type
from .errors import MalformedMessageError
from .events import Request
from .kernel_info import kernel_info
from .lane import NO_PIPE, Lane
from .queue import Turn
from .stdin import Stdin
from .subshells import Subshells, unknown
from .unaware import Unaware
from .wire import Message, dumps, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..shared.frames import Buffer
    from ..shared.handover import Handed
    from .connection import Connection
    from .events import ToShell, Worker
    from .inboxes import Inboxes
    from .wire import Builder, Signer

log = logging.getLogger(__name__)


AT_ONCE = 64
"""Messages that are taken before the thread looks at its inbox again: nobody can starve it."""
SHOW_AFTER = 0.002
"""Seconds after which IOPub is to look whether the current request has begun, if not over before:
its worker says so without waking anybody."""
WATCH_AFTER = 0.05
"""Seconds after which a request takes long: most are over before, and cost no second look."""
ALL = 10_000
"""... where all that has arrived is wanted."""


class Shell:
    """Everything that the thread needs; ``run`` is its life."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        stdin: zmq.Socket[bytes],
        inboxes: Inboxes,
        signer: Signer,
        builder: Builder,
        connection: Connection,
        *,
        subshells: bool,
    ) -> None:
        """Take the parts, and whether clients may have subshells."""
        self._socket = socket
        self._inbox = inboxes.shell
        self._signer = signer
        self._builder = builder
        self._connection = connection
        self._to_iopub = inboxes.iopub
        self._to_control = inboxes.control
        self._to_monitor = inboxes.monitor
        self._sent_at: float | None = None  # of the current request, until Monitor knows of it
        self._shown = False  # IOPub has been woken for it
        self._finished = False
        self._last: deque[events.Finish] = deque()  # to be done once nothing is left to refuse
        self._numbers = count(1)
        self._unaware = Unaware()
        self._worker: Worker | None = None
        self._poller = zmq.Poller()
        self._main = Lane(self._poller)
        self._queue = self._main.queue
        self._offers_subshells = subshells
        self._subshells = Subshells(self._poller, inboxes.control, inboxes.iopub, self._answer)
        self._stdin = Stdin(stdin, signer, builder, self._lanes)
        for source in (socket, stdin, inboxes.shell.fileno()):
            self._poller.register(source, zmq.POLLIN)

    def run(self) -> None:
        """Serve until the kernel is finished."""
        while not self._finished:
            ready = dict(self._poller.poll(self._until_watched()))
            # What the other threads say comes before what clients say: G14, and order.
            self._hear()
            if self._socket in ready:
                self._receive(1)
                self._advance()  # the worker can begin while we look for more
                self._receive()
            self._stdin.serve(ready)
            self._main.write()
            self._subshells.write()
            for lane in self._subshells:
                lane.write()
            self._advance()
            self._close_if_done()
            self._let_watch()
        self._socket.close()
        self._stdin.close()

    # What takes long.

    def _until_watched(self) -> int | None:
        """Give the milliseconds until the current request is one that takes long."""
        if self._sent_at is None or self._queue.current is None:
            return None
        due = self._sent_at + (WATCH_AFTER if self._shown else SHOW_AFTER)
        return int(max(0.0, due - time.monotonic()) * 1000) + 1

    def _let_watch(self) -> None:
        """Let IOPub and Monitor see to a request that takes long; they learn of the end alone."""
        current, worker, sent_at = self._queue.current, self._worker, self._sent_at
        if current is None or worker is None or sent_at is None:
            return
        now = time.monotonic()
        if not self._shown and now >= sent_at + SHOW_AFTER:
            self._to_iopub.wake()
            self._shown = True
        if now >= sent_at + WATCH_AFTER:
            self._to_monitor.put(events.Watch(worker, current.number, sent_at))
            self._sent_at = None

    # The other threads.

    def _hear(self) -> None:
        for event in self._inbox.drain():
            match event:
                case events.Ready(worker):
                    self._worker = worker
                    self._main.attach(worker.requests)
                    self._queue.ready = True
                    self._subshells.attach(worker)
                case events.Gone(generation):
                    self._part(generation)
                case events.Unbegun(request):
                    self._lane_of(request).queue.put_back(request)
                case events.InputAsked():
                    self._stdin.ask(event)
                case events.Reply():
                    self._reply(event)
                case events.Broken(report) | events.Stop(report):
                    for lane in (self._main, *self._subshells):
                        lane.queue.refusing = report
                case events.Forwarded(message, channel):
                    self._queue_up(message, channel)
                case events.TakeStock(generation):
                    self._take_stock(generation)
                case events.Finish():
                    self._receive(ALL)
                    self._advance()
                    self._last.append(event)
                case events.Closed():
                    self._finished = True
                case _:
                    self._hear_of_subshells(event)

    def _hear_of_subshells(self, event: ToShell) -> None:
        match event:
            case events.Interrupt(subshell, before):
                self._interrupt(subshell, before)
            case events.SubshellAsked(request):
                self._receive(ALL)  # what came before is still for the one that is deleted
                self._subshells.asked(request, self._main)
            case events.SubshellEnded(_, number):
                self._subshells.ended(number)

    def _part(self, generation: int) -> None:
        worker = self._worker
        if worker is not None and worker.generation == generation:
            worker.to_worker.close()
            self._main.part()
            self._worker = None
            self._queue.part()
            self._subshells.part()
            self._to_iopub.wake()  # it may not have heard of the newest request

    def _lane_of(self, request: Request) -> Lane:
        lane = self._main if request.subshell is None else self._subshells.lane_of(request)
        assert lane is not None, "a lane is there as long as one of its requests is"
        return lane

    def _take_stock(self, generation: int) -> None:
        """Count what will be aborted: what waits behind something that runs."""
        self._receive(ALL)
        others = [lane for lane in self._subshells if lane.queue.current is not None]
        queued = sum(lane.queue.executions() for lane in (self._main, *others))
        self._to_control.put(events.Stock(generation, queued))

    def _interrupt(self, subshell: str | None, before: float) -> None:
        """Interrupt a subshell; or what the main shell is about to run; or else all subshells."""
        if subshell is not None:
            if (lane := self._subshells.find(subshell)) is not None:
                self._subshells.interrupt(lane, before)
        elif number := self._queue.interrupt(before):
            self._to_control.put(events.InterruptMissed(number))
        else:
            for lane in self._subshells:
                self._subshells.interrupt(lane, before)

    def _reply(self, reply: events.Reply) -> None:
        if reply.abort:
            # What has arrived until now is aborted, and what is on its way, as far as one can tell.
            # Whoever sends after reading this reply is not.
            self._receive(ALL)
        lane = self._lane_of(reply.request)
        current = lane.queue.current
        if current is not None and current.number == reply.request.number:
            lane.prompt = None
        lane.queue.over(reply)
        if not reply.msg_type:
            return
        if reply.request.channel == "internal":
            self._to_control.put(reply)
            return
        frames = self._builder.reply(reply)  # dated before the next request begins
        if lane is self._main:
            self._unaware.answered(reply.request.message, time.monotonic(), failed=reply.abort)
        if reply.request.channel == "control":
            self._to_control.put(events.Outgoing(frames))
        else:
            multipart.send(self._socket, frames)

    def _close_if_done(self) -> None:
        """Give the last answers once the worker's last request has come back, too.

        Whoever has one may send requests at once, which are for the next worker.
        """
        while self._last and all(lane.is_idle for lane in (self._main, *self._subshells)):
            finish = self._last.popleft()
            if not finish.closing:
                self._queue.refusing = None
                self._subshells.clear()
            for answer in finish.last:
                self._to_iopub.put(answer)
            if finish.closing:
                self._to_iopub.put(events.Close())

    # Clients.

    def _receive(self, limit: int = AT_ONCE) -> None:
        for _ in range(limit):
            if (frames := multipart.receive(self._socket)) is None:
                return
            try:
                self._arrive(parse(frames, self._signer))
            except MalformedMessageError as error:
                log.warning("shell: a message was dropped: %s", error)

    def _arrive(self, message: Message) -> None:
        msg_type = message.msg_type
        # Of the main shell's requests only: a failure there aborts none of a subshell's.
        is_mains = message.subshell is None or not self._offers_subshells
        aborted = is_mains and self._unaware.arrive(message, time.monotonic())
        if msg_type in FOR_THE_WORKER:
            self._queue_up(message, "shell", aborted=aborted)
            return
        request = Request(next(self._numbers), message, "shell")
        if msg_type == "kernel_info_request":
            self._answer(request, "kernel_info_reply", self._kernel_info())
        elif msg_type == "comm_info_request":
            self._comm_info(request)
        elif msg_type == "connect_request":
            ports = {f"{name}_port": port for name, port in self._connection.ports.items()}
            self._answer(request, "connect_reply", {"status": "ok", **ports})
        elif msg_type == "shutdown_request":
            self._to_control.put(events.ShutdownAsked(request))
        elif msg_type == "interrupt_request":
            self._advance()  # what came before it on this socket is what it means
            self._to_control.put(events.InterruptAsked(request))
        else:
            log.warning("shell: no %r is known here; it gets no reply", msg_type)
            self._to_iopub.put(events.Answer(request, "", b"{}"))

    def _queue_up(self, message: Message, channel: str, *, aborted: bool = False) -> None:
        """Append a request for the worker to the queue of its shell."""
        lane = self._main
        if message.subshell is not None and self._offers_subshells:
            found = self._subshells.find(message.subshell)
            if found is None and (name := reply_type(message.msg_type)):
                request = Request(next(self._numbers), message, channel)
                self._answer(request, name, unknown(message.subshell))
                return
            # A comm message has no reply that could say so, and is not to be lost.
            lane = found or lane
        if message.msg_type == "comm_close":
            self._note_close(message)
        number = next(self._numbers)
        request = Request(number, message, channel, subshell=lane.name)
        lane.queue.arrive(request, aborted=aborted)

    def _kernel_info(self) -> dict[str, object]:
        return kernel_info(subshells=self._offers_subshells)

    def _answer(self, request: Request, msg_type: str, content: dict[str, object]) -> None:
        self._to_iopub.put(events.Answer(request, msg_type, dumps(content)))

    def _comm_info(self, request: Request) -> None:
        try:
            target_name = request.message.parsed_content().get("target_name")
        except MalformedMessageError as error:
            content = {"status": "error", "ename": "ValueError", "evalue": str(error)}
            self._answer(request, "comm_info_reply", {**content, "traceback": []})
            return
        name = target_name if isinstance(target_name, str) else None
        self._to_iopub.put(events.CommInfo(request, name))

    def _note_close(self, message: Message) -> None:
        try:
            comm_id = message.parsed_content().get("comm_id")
        except MalformedMessageError:
            return  # the worker will tell
        if isinstance(comm_id, str):
            self._to_iopub.put(events.CommClosed(comm_id))

    # The worker.

    def _lanes(self) -> Iterator[Lane]:
        yield self._main
        yield from self._subshells

    def _advance(self) -> None:
        self._advance_in(self._main)
        for lane in self._subshells:
            self._advance_in(lane)
        self._subshells.sweep()

    def _advance_in(self, lane: Lane) -> None:
        while (turn := lane.queue.next()) is not None:
            match turn:
                case Turn.ABORT, request:
                    self._to_iopub.put(events.Abort(request))
                    self._to_control.put(events.Aborted())
                case Turn.REFUSE, request:
                    assert lane.queue.refusing is not None
                    self._to_iopub.put(events.Refuse(request, lane.queue.refusing))
                case Turn.SEND | Turn.OFFER, request:
                    self._send_request(lane, request)

    def _send_request(self, lane: Lane, request: Request) -> None:
        worker = self._worker
        assert worker is not None, "the queue sends to a ready worker only"
        message = request.message
        # IOPub must know the request before a record of it can come. That record wakes it, or the
        # worker's death does, or `_part`, or `_let_watch`: to be woken now, it would compete with
        # this thread.
        self._to_iopub.append(events.Sent(request, worker.generation))
        parts: Sequence[Buffer] = (
            message.msg_type.encode(),
            message.header, message.content, message.metadata, *message.buffers,
        )  # fmt: skip
        kind = Kind.ASIDE if request.aside else Kind.REQUEST
        given: Sequence[Buffer | Handed] = parts
        if lane is self._main:
            if not request.aside:
                self._note_sent(worker, request)
            given = records.hand_over(kind, parts, worker.to_worker)
        elif lane.pipe == NO_PIPE:
            self._subshells.open(lane)
        lane.send(records.encode(kind, request.number, given))

    def _note_sent(self, worker: Worker, request: Request) -> None:
        """Let the worker's interrupts and those who watch know what the main shell runs next."""
        if self._queue.interrupted == request.number:
            worker.ledger[Slot.INTERRUPT] = request.number
        worker.ledger[Slot.SENT] = request.number
        self._sent_at, self._shown = time.monotonic(), False
