"""The IOPub thread: the only reader of the worker, the only writer of the IOPub socket.

It decides nothing about order; it brings what happened to the transcript in a sequence that makes
the transcript's rules true, and does what the transcript says:

1. captured bytes are read first, records after them. A record's mark counts bytes that its sender
   wrote before it, so they can be read now, exactly as many as are missing. And a byte that was
   read before the records were is behind no record that is still to come from the same sender.
   Between the two it is seen how far text was spooled: whatever stands before that text is then in
   the pipe already, so it can be taken after the records that are read.
2. the inbox is emptied after the records were read and before they are taken: Shell announces a
   request before it writes it, so a record's request is always known.
3. a death is acted on after everything that could be read was taken (G18).
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import struct
import termios
import time
from typing import TYPE_CHECKING

import zmq

from ..shared import frames, records, spool
from ..shared.ledger import Slot
from ..shared.records import Kind
from . import events, multipart
from .actions import Action, Log, Publish, TellControl, TellShell
from .pipes import PIPE_SIZE
from .streams import INTERVAL
from .transcript import Transcript
from .wire import NO_PARENT, dumps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..shared.frames import Buffer
    from .events import Worker
    from .inboxes import Inboxes
    from .wire import Builder

log = logging.getLogger(__name__)

_READ = 1 << 18  # bytes at a time
_LEAST = 1 << 12
_SOON, _LATE = 0.001, 0.05  # seconds
_MANY = 8  # messages, or runs of text, between two looks, from which on they are a flood
_FLOOD = 0.005  # seconds between two looks at one: each look wakes ZMQ and the client, too
_PLENTY = spool.SIZE // 8  # bytes spooled between two looks, from which on we look more often
_SLOTS = {1: Slot.CONSUMED_1, 2: Slot.CONSUMED_2}
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


class _Pipes:
    """Our reading ends of one worker."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.decoder = frames.Decoder()
        self.captured = {1: worker.stdout, 2: worker.stderr}
        self.listening = True  # to its records
        # Bytes that were read after its process ended: of its records (0), and captured (1, 2).
        self.since_death = {0: 0, 1: 0, 2: 0}
        for fd in (worker.records, worker.stdout, worker.stderr):
            os.set_blocking(fd, False)

    def read_captured(self, descriptor: int, size: int = _READ) -> bytes | None:
        """Read from a captured pipe, and count it in the ledger.

        None if there is nothing now, b'' if nobody can write to it any more.
        """
        fd = self.captured[descriptor]
        try:
            return self.worker.ledger.consume(_SLOTS[descriptor], lambda: os.read(fd, size))
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Close everything that was IOPub's."""
        for fd in (self.worker.records, self.worker.stdout, self.worker.stderr):
            os.close(fd)
        self.worker.from_worker.close()


class IOPub:
    """Everything that the thread needs; ``run`` is its life."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        inboxes: Inboxes,
        builder: Builder,
    ) -> None:
        self._socket = socket
        self._inbox = inboxes.iopub
        self._builder = builder
        self._to_shell = inboxes.shell
        self._to_control = inboxes.control
        self._transcript = Transcript()
        self._pipes: _Pipes | None = None
        self._prefix = f"kernel.{builder.session}."
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(inboxes.iopub.fileno(), zmq.POLLIN)
        self._closing = False
        self._said: list[events.DebugEvent | events.Answer] = []  # by the debugger, in order
        self._look_at = 0.0  # when to look at the spool again, unasked; 0: asleep
        self._sent_at = 0.0  # when the current request was heard of
        self._begin_at = 0.0  # when to look whether it has begun; 0: it has, or there is none

    def run(self) -> None:
        """Publish until told to close."""
        self._perform(self._transcript.starting())
        while not self._closing or self._said:
            ready = dict(self._poller.poll(self._wait()))
            if self._socket in ready:
                self._welcome()
            self._step(ready)
            self._perform(self._transcript.due(time.monotonic()))
        self._socket.close()
        self._to_shell.put(events.Closed())
        self._to_control.put(events.Closed())

    def _wait(self) -> int | None:
        """Give the milliseconds for which there is nothing to do unless something happens."""
        if self._said:
            return 0
        now = time.monotonic()
        wait = self._transcript.streams.wait(now)
        for look_at in (self._look_at, self._begin_at):
            if look_at:
                until = max(0.0, look_at - now)
                wait = until if wait is None else min(wait, until)
        return None if wait is None else math.ceil(wait * 1000)

    def _step(self, ready: dict[object, int]) -> None:
        pipes, began = self._pipes, time.monotonic()
        # What was printed before the debugger said something can be read by now.
        said = len(self._said)
        if pipes is None:
            self._repeat(said)
            self._drain_inbox()
            return
        dead = pipes.worker.pidfd in ready
        found = [
            self._capture(pipes, descriptor, dead=dead)
            for descriptor, fd in pipes.captured.items()
            if fd in ready or dead
        ]
        ring = pipes.worker.spool
        spooled = ring.end() if ring.is_sane else ring.taken
        payloads: list[Buffer] = []
        news = any(found) or dead or spooled != ring.taken
        if pipes.listening and (news or pipes.worker.records in ready):
            payloads = self._read_records(pipes, dead=dead)
        self._drain_inbox()
        busy = self._transcript.is_busy
        soon = self._take(pipes, payloads, spooled)
        if any(found):
            self._perform(self._transcript.settle())
        self._repeat(said)
        self._rest(pipes, began, soon, ended=busy and not self._transcript.is_busy)
        # More than a pipe holds after its death is an orphan's.
        if (
            dead
            and not any(found)
            and not soon
            and (not payloads or pipes.since_death[0] >= PIPE_SIZE)
        ):
            self._release(pipes)

    def _capture(self, pipes: _Pipes, descriptor: int, *, dead: bool) -> bool:
        if pipes.since_death[descriptor] >= PIPE_SIZE:
            return False  # what comes now is an orphan's: more than a pipe holds was read already
        data = pipes.read_captured(descriptor)
        if data and dead:
            pipes.since_death[descriptor] += len(data)
        if data:
            self._transcript.captured(descriptor, data)
        elif data is not None and (fd := pipes.captured[descriptor]) in self._poller:
            self._poller.unregister(fd)  # or the poller would never sleep again
        return bool(data)

    def _read_records(self, pipes: _Pipes, *, dead: bool) -> list[Buffer]:
        """Read at least what is in the pipe now; what comes meanwhile may wait."""
        fd = pipes.worker.records
        payloads: list[Buffer] = []
        decoder = pipes.decoder
        left = max(1, struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0])
        try:
            while left > 0:
                space = decoder.space()
                if space is not None:
                    count = os.readv(fd, [space])
                else:
                    data = os.read(fd, max(left, _LEAST))
                    count = len(data)
                if not count:
                    self._distrust(pipes, "It closed its pipe to the kernel.", closed=True)
                    break
                left -= count
                pipes.since_death[0] += count if dead else 0
                payloads += decoder.filled(count) if space is not None else decoder.feed(data)
        except BlockingIOError:
            pass
        except frames.FrameError as error:
            self._distrust(pipes, f"It wrote bytes that are no message: {error}.")
        return payloads

    def _take(self, pipes: _Pipes, payloads: Iterable[Buffer], spooled: int) -> float:
        """Take records, and what was spooled among and behind them.

        Gives how soon to look for more that is spooled, in seconds; 0 if there was nothing.
        """
        soon = 0.0
        try:
            for payload in payloads:
                record = records.taken(records.decode(payload), pipes.worker.from_worker)
                if record.kind is Kind.SPOOLED:
                    soon = self._take_spooled(pipes, record.number) or soon
                else:
                    self._take_record(pipes, record)
        except records.RecordError as error:
            self._distrust(pipes, f"It wrote a message that cannot be: {error}.")
        try:
            # Also of one that is not listened to any more.
            soon = self._take_spooled(pipes, spooled) or soon
        except records.RecordError as error:
            self._distrust(pipes, f"It spooled text that cannot be: {error}.")
        return soon

    def _take_spooled(self, pipes: _Pipes, end: int) -> float:
        ring, soon, count = pipes.worker.spool, 0.0, 0
        size = end - ring.taken
        for record in ring.take(end):
            if ring.is_news:
                count += 1
                is_text = record.kind is Kind.STDOUT or record.kind is Kind.STDERR
                # Text waits for more of it; a message may be what somebody waits for.
                soon = INTERVAL if is_text and soon != _SOON else _SOON
            self._take_record(pipes, record)
        if count >= _MANY:
            soon = _FLOOD
        # Whoever finds no room in the spool has to wait for us.
        return soon if size <= _PLENTY else soon * _PLENTY / size

    def _take_record(self, pipes: _Pipes, record: records.Record) -> None:
        transcript = self._transcript
        for descriptor, size in enumerate(transcript.missing(record), 1):
            left = size
            while left and (data := pipes.read_captured(descriptor, min(left, _READ))):
                transcript.captured(descriptor, data)
                left -= len(data)
        if actions := transcript.record(record):
            self._perform(actions)

    def _rest(self, pipes: _Pipes, began: float, soon: float, *, ended: bool) -> None:
        """Look at the spool again soon if something was there; else sleep, until the next wakes us.

        When a request has ended, no more is to be expected soon.

        The worker wakes once for each sleep. It may have spooled something after we looked and
        before we said that we sleep, and then believes us awake: so we look once more.
        """
        now = time.monotonic()
        # Its worker says so without waking us, and may be kept from it by a task of the user's.
        self._begin_at = 0.0
        if self._transcript.awaits_begin:
            self._begin_at = now + min(max(_SOON, now - self._sent_at), _LATE)
        if soon and not ended:
            # The first text is most often half a line: its end is there in a moment.
            self._look_at = began + (soon if self._look_at else min(soon, _SOON))
        elif soon or (self._look_at and (ended or now >= self._look_at)):
            self._look_at = 0.0
            pipes.worker.ledger[Slot.SLEEPS] += 1
            os.getppid()  # a system call: what stands before it has been done when it returns
            ring = pipes.worker.spool
            if ring.is_sane and ring.end() != ring.taken:
                self._look_at = now

    def _distrust(self, pipes: _Pipes, why: str, *, closed: bool = False) -> None:
        """Listen no more to this worker's records; Control sees to its end (G26)."""
        if pipes.listening:
            pipes.listening = False
            self._poller.unregister(pipes.worker.records)
            event = events.Misbehaved(pipes.worker.generation, why, closed)
            self._to_control.put(event)
            if not closed:
                log.warning("worker %s: %s", pipes.worker.pid, why)

    def _attach(self, worker: Worker) -> None:
        self._pipes = _Pipes(worker)
        self._look_at = 0.0
        worker.ledger[Slot.SLEEPS] = 1
        for fd in (worker.records, worker.stdout, worker.stderr, worker.pidfd):
            self._poller.register(fd, zmq.POLLIN)
        self._perform(self._transcript.attach(worker.generation))

    def _release(self, pipes: _Pipes) -> None:
        """Let go of a dead worker, of which everything was read."""
        worker = pipes.worker
        for fd in (worker.records, worker.stdout, worker.stderr, worker.pidfd):
            if fd in self._poller:
                self._poller.unregister(fd)
        if pipes.decoder.pending:
            log.info("worker %s: %s bytes of a torn record", worker.pid, pipes.decoder.pending)
        pipes.close()
        self._pipes = None
        self._look_at = self._begin_at = 0.0
        self._to_control.put(events.Drained(worker.generation, self._transcript.next_count))

    def _drain_inbox(self) -> None:
        transcript = self._transcript
        for event in self._inbox.drain():
            match event:
                case events.Sent():
                    self._sent_at = time.monotonic()
                    self._perform(transcript.sent(event))
                case events.Answer(_, "debug_reply") if self._said:
                    self._said.append(event)
                case events.Answer():
                    self._perform(transcript.answer(event))
                case events.Abort():
                    self._perform(transcript.abort(event))
                case events.Refuse():
                    self._perform(transcript.refuse(event))
                case events.Remark():
                    self._perform(transcript.remark(event))
                case events.DebugEvent():
                    self._said.append(event)
                case events.CommInfo():
                    self._perform(transcript.comm_info(event))
                case events.CommClosed():
                    self._perform(transcript.comm_closed(event))
                case events.Attach(worker):
                    self._attach(worker)
                case events.Died(generation, facts):
                    self._perform(transcript.died(generation, facts))
                case events.Close():
                    self._closing = True

    def _repeat(self, count: int) -> None:
        """Publish so much of what the debugger said, which until then holds up its answers."""
        said, self._said = self._said[:count], self._said[count:]
        for event in said:
            if isinstance(event, events.DebugEvent):
                self._perform(self._transcript.debug_event(event))
            else:
                self._perform(self._transcript.answer(event))

    def _perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Publish():
                    self._publish(action)
                case TellShell(event):
                    self._to_shell.put(event)
                case TellControl(event):
                    self._to_control.put(event)
                case Log(level, text):
                    log.log(_LEVELS.get(level, logging.ERROR), "worker: %s", text)

    def _publish(self, message: Publish) -> None:
        msg_type, parent, content, metadata, buffers, topic = message
        identities = [(topic or self._prefix + msg_type).encode()]
        frames = self._builder.build(identities, msg_type, parent, content, metadata, buffers)
        multipart.send(self._socket, frames)

    def _welcome(self) -> None:
        """Answer each new subscription ("Welcome message" in the messaging documentation)."""
        while True:
            try:
                frame = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if not frame.startswith(b"\x01"):
                self._socket.setsockopt(zmq.UNSUBSCRIBE, frame[1:])  # somebody left
                continue
            self._socket.setsockopt(zmq.SUBSCRIBE, frame[1:])
            try:
                content = dumps({"subscription": frame[1:].decode()})
            except UnicodeDecodeError:
                continue  # nothing of ours begins like that
            message = self._builder.build([frame[1:]], "iopub_welcome", NO_PARENT, content)
            multipart.send(self._socket, message)
