"""The Shell thread: the shell and stdin sockets, and the pipe on which requests go to the worker.

It answers what the supervisor knows by itself at once, whatever runs, and gives the worker one
request at a time. It never waits for anything but its poller: a request that is larger than the
pipe, or a worker that does not read, holds up nobody (races 24 to 26).
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from itertools import count
from typing import TYPE_CHECKING

import zmq

from ..shared import records
from ..shared.ledger import Slot
from ..shared.records import Kind
from . import events, multipart
from .errors import MalformedMessageError
from .events import FOR_THE_WORKER, Request
from .kernel_info import kernel_info
from .queue import Queue, Turn
from .unaware import Unaware
from .wire import Message, dumps, parse

if TYPE_CHECKING:
    from .connection import Connection
    from .events import Worker
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
    ) -> None:
        self._socket = socket
        self._stdin = stdin
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
        self._queue = Queue()
        self._unaware = Unaware()
        self._worker: Worker | None = None
        self._outgoing: deque[memoryview] = deque()
        self._prompt: tuple[bytes, str] | None = None  # the worker's name for it, and our msg_id
        self._poller = zmq.Poller()
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
            if self._stdin in ready:
                self._receive_input()
            self._write()
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
                    self._queue.ready = True
                case events.Gone(generation):
                    self._part(generation)
                case events.Unbegun(request):
                    self._queue.put_back(request._replace(retried=True))
                case events.InputAsked():
                    self._ask(event)
                case events.Reply():
                    self._reply(event)
                case events.Broken(report) | events.Stop(report):
                    self._queue.refusing = report
                case events.Forwarded(message, channel):
                    self._queue.arrive(Request(next(self._numbers), message, channel))
                case events.TakeStock(generation):
                    self._receive(ALL)
                    stock = events.Stock(generation, self._queue.executions())
                    self._to_control.put(stock)
                case events.Interrupt():
                    if number := self._queue.interrupt():
                        self._to_control.put(events.InterruptMissed(number))
                case events.Finish():
                    self._receive(ALL)
                    self._advance()
                    self._last.append(event)
                case events.Closed():
                    self._finished = True

    def _part(self, generation: int) -> None:
        worker = self._worker
        if worker is not None and worker.generation == generation:
            os.close(worker.requests)
            worker.to_worker.close()
            if worker.requests in self._poller:
                self._poller.unregister(worker.requests)
            self._worker = None
            self._queue.part()
            self._to_iopub.wake()  # it may not have heard of the newest request
            self._outgoing.clear()
            self._prompt = None

    def _reply(self, reply: events.Reply) -> None:
        if reply.abort:
            # What has arrived until now is aborted, and what is on its way, as far as one can tell.
            # Whoever sends after reading this reply is not.
            self._receive(ALL)
        current = self._queue.current
        if current is not None and current.number == reply.request.number:
            self._prompt = None
        self._queue.over(reply)
        if not reply.msg_type:
            return
        if reply.request.channel == "internal":
            self._to_control.put(reply)
            return
        frames = self._builder.reply(reply)  # dated before the next request begins
        self._unaware.answered(reply.request.message, time.monotonic(), failed=reply.abort)
        if reply.request.channel == "control":
            self._to_control.put(events.Outgoing(frames))
        else:
            multipart.send(self._socket, frames)

    def _close_if_done(self) -> None:
        """Give the last answers once the worker's last request has come back, too.

        Whoever has one may send requests at once, which are for the next worker.
        """
        while self._last and self._queue.current is None and not self._queue:
            finish = self._last.popleft()
            if not finish.closing:
                self._queue.refusing = None
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
        request = Request(next(self._numbers), message, "shell")
        msg_type = message.msg_type
        aborted = self._unaware.arrive(message, time.monotonic())
        if msg_type in FOR_THE_WORKER:
            if msg_type == "comm_close":
                self._note_close(message)
            self._queue.arrive(request, aborted=aborted)
        elif msg_type == "kernel_info_request":
            self._answer(request, "kernel_info_reply", kernel_info())
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

    # stdin.

    def _ask(self, event: events.InputAsked) -> None:
        current = self._queue.current
        if current is None or current.number != event.number:
            return
        self._receive_input()  # what was typed for an earlier prompt answers no later one
        msg_id = self._builder.new_id()
        self._prompt = event.prompt, msg_id
        message = current.message
        frames = self._builder.build(
            message.identities, "input_request", message.header, event.content, msg_id=msg_id
        )
        multipart.send(self._stdin, frames)

    def _receive_input(self) -> None:
        while True:
            if (frames := multipart.receive(self._stdin)) is None:
                return
            try:
                self._take_input(parse(frames, self._signer))
            except MalformedMessageError as error:
                log.warning("stdin: a message was dropped: %s", error)

    def _take_input(self, message: Message) -> None:
        current, prompt = self._queue.current, self._prompt
        if message.msg_type != "input_reply" or current is None or prompt is None:
            log.info("stdin: a %s that nobody waits for was dropped", message.msg_type)
            return
        name, msg_id = prompt
        # Not every client says which prompt it answers; one that does must mean this one.
        answers = message.parent()
        if answers not in ("", msg_id, current.message.msg_id) or (
            message.identities != current.message.identities
        ):
            log.info("stdin: an answer to another prompt was dropped")
            return
        self._prompt = None
        self._send(Kind.INPUT_REPLY, current.number, message.content, name)

    # The worker.

    def _advance(self) -> None:
        while (turn := self._queue.next()) is not None:
            match turn:
                case Turn.ABORT, request:
                    self._to_iopub.put(events.Abort(request))
                    self._to_control.put(events.Aborted())
                case Turn.REFUSE, request:
                    assert self._queue.refusing is not None
                    self._to_iopub.put(events.Refuse(request, self._queue.refusing))
                case Turn.SEND, request:
                    self._send_request(request)

    def _send_request(self, request: Request) -> None:
        worker = self._worker
        assert worker is not None, "the queue sends to a ready worker only"
        message = request.message
        # IOPub must know the request before a record of it can come. That record wakes it, or the
        # worker's death does, or `_part`, or `_let_watch`: to be woken now, it would compete with
        # this thread.
        self._to_iopub.append(events.Sent(request, worker.generation))
        if self._queue.interrupted == request.number:
            worker.ledger[Slot.INTERRUPT] = request.number
        worker.ledger[Slot.SENT] = request.number
        self._sent_at, self._shown = time.monotonic(), False
        self._send(
            Kind.REQUEST, request.number, message.msg_type.encode(),
            message.header, message.content, message.metadata, *message.buffers,
        )  # fmt: skip

    def _send(self, kind: Kind, number: int, *parts: bytes) -> None:
        if self._worker is None:
            return  # it has gone meanwhile, and with it whatever waits for this
        given = records.hand_over(kind, parts, self._worker.to_worker)
        self._outgoing.extend(map(memoryview, records.encode(kind, number, given)))
        self._write()

    def _write(self) -> None:
        """Write what the pipe takes; ask the poller to tell when it takes more."""
        worker, outgoing = self._worker, self._outgoing
        if worker is None or not outgoing:
            return
        try:
            while outgoing:
                written = os.writev(worker.requests, list(outgoing)[:64])
                while outgoing and written >= len(outgoing[0]):
                    written -= len(outgoing.popleft())
                if written:
                    outgoing[0] = outgoing[0][written:]
        except BlockingIOError:
            self._poller.register(worker.requests, zmq.POLLOUT)
            return
        except BrokenPipeError:
            outgoing.clear()  # it is dead; IOPub will say so
        if worker.requests in self._poller:
            self._poller.unregister(worker.requests)
