"""The order of everything that the kernel publishes: one pure object, events in, actions out.

It has no socket, no clock and no thread, so every interleaving that can happen can be tried in a
test. IOPub feeds it and carries out what it says, in order. Order comes from two facts only: a
worker's records are in the order in which they were written, and a request is over for Shell after
its idle was published. There is nothing to flush and nothing to wait for.

It also holds the one table of open comms. Whoever asks (comm_info) is answered from here, on the
path on which opens and closes are published, so that the answer cannot be older than what its
client has seen (G14).
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from ..shared.records import Kind, Record, RecordError
from . import post_mortem
from .actions import Action, Log, Publish, TellControl, TellShell
from .answers import BUSY, IDLE, failed, reply, reply_type
from .checks import check, number_in, open_comms, publishable, string, written
from .comms import Comms
from .errors import MalformedMessageError
from .events import (
    Abort,
    Answer,
    Buried,
    CommClosed,
    CommInfo,
    DebugEvent,
    Gone,
    Hello,
    InputAsked,
    Leaving,
    Refuse,
    Remark,
    Reply,
    Request,
    Sent,
    SubshellEnded,
    Unbegun,
)
from .requests import Requests
from .streams import Captured, Streams, Text
from .wire import NO_PARENT, Texts, dumps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .post_mortem import Facts
    from .requests import Open

STARTING = dumps({"execution_state": "starting"})
ABORTED = dumps({"status": "aborted"})

_TOPICS = {"stdout": "stream.stdout", "stderr": "stream.stderr"}
NATIVE_TAIL = 2000  # characters of what the worker wrote to stderr, for a post-mortem


class Transcript:
    """What was said, what is open, and what follows from the next event."""

    def __init__(self) -> None:
        self.streams = Streams()
        self._encoder = Texts()
        self._generation = 0  # 0: no worker is attached
        self._greeted = self._leaving = False
        self._native = ""  # the end of what a post-mortem shows of the worker's stderr
        self._captured = (Captured(), Captured())
        self._requests = Requests()
        self._comms = Comms()

    def __repr__(self) -> str:
        return f"<Transcript of worker {self._generation}: {self._requests}>"

    @property
    def next_count(self) -> int:
        """The execution_count of the next cell."""
        return self._requests.next_count

    @property
    def is_busy(self) -> bool:
        """Tell whether the worker has a request that is not over."""
        return bool(self._requests)

    @property
    def awaits_begin(self) -> bool:
        """Tell whether the worker has a request of which it has not said that it has begun."""
        return self._requests.await_begin

    # What the supervisor itself has to say.

    def starting(self) -> list[Action]:
        """Give the one status 'starting' of a kernel's life (G34)."""
        return [Publish("status", NO_PARENT, STARTING)]

    def sent(self, event: Sent) -> list[Action]:
        """Note a request that goes to the worker."""
        if event.generation != self._generation:
            # That worker is closed. It never began this request, so the next one may have it.
            return [TellShell(Unbegun(event.request))]
        self._requests.sent(event.request)
        return []

    def answer(self, event: Answer) -> list[Action]:
        """Publish the pair of a request that the supervisor answers; the reply follows it."""
        parent = event.request.message.header
        pair = [Publish("status", parent, BUSY), Publish("status", parent, IDLE)]
        if event.publish:
            pair.insert(1, Publish(event.msg_type, parent, event.content))
        return [*self._flush(), *pair, reply(event.request, event.msg_type, event.content)]

    def abort(self, event: Abort) -> list[Action]:
        """Answer a queued execute_request that will not be run (G11, G21)."""
        # No execution_count: frontends would show the cell as one that has run.
        return self.answer(Answer(event.request, "execute_reply", ABORTED))

    def refuse(self, event: Refuse) -> list[Action]:
        """Answer a request for which there is no worker (G25), or no subshell."""
        self._requests.drop(event.request.number)
        return self._flush() + self._failed(event.request, event.report, self._requests.count)

    def remark(self, event: Remark) -> list[Action]:
        """Tell something on stderr of the running request, if it still runs."""
        if self._requests.running(event.number) is None:
            return []
        return self._texts(self.streams.add(event.number, "stderr", event.text))

    def debug_event(self, event: DebugEvent) -> list[Action]:
        """Publish what the debugger says, behind what was printed before."""
        return [*self._flush(), Publish("debug_event", NO_PARENT, event.content)]

    def comm_info(self, event: CommInfo) -> list[Action]:
        """Answer which comms are open."""
        content = dumps({"status": "ok", "comms": self._comms.listed(event.target_name)})
        return self.answer(Answer(event.request, "comm_info_reply", content))

    def comm_closed(self, event: CommClosed) -> list[Action]:
        """Note a comm that its client closed: it is not listed from now on (G14)."""
        self._comms.closed_by_client(event.comm_id)
        return []

    # What the worker says and writes.

    def attach(self, generation: int) -> list[Action]:
        """Begin with a new worker. The last one has to be over (G23)."""
        assert not self._generation, f"worker {self._generation} is still attached"
        self._generation = generation
        self._greeted = self._leaving = False
        self._native = ""
        self._captured = (Captured(), Captured())
        return []

    def missing(self, record: Record) -> tuple[int, int]:
        """Tell how many bytes of descriptors 1 and 2 must be read before this record is taken."""
        out, err = self._captured
        return out.missing(record.marks[0]), err.missing(record.marks[1])

    def captured(self, descriptor: int, data: bytes) -> None:
        """Take bytes that were read from descriptor 1 or 2."""
        self._captured[descriptor - 1].add(data)

    def settle(self) -> list[Action]:
        """Take it that no record stands before the bytes that were captured so far."""
        return self._release(None, None)

    def record(self, record: Record) -> list[Action]:
        """Take the worker's next record.

        Raises RecordError for one that cannot be, and changes nothing then.
        """
        kind = record.kind
        if kind is Kind.STDOUT or kind is Kind.STDERR:
            return self._written(record)
        self._check(record)
        # What stands before the record first: it belongs to what was before the record.
        before = self._release(*record.marks)
        before += self._flush()
        return before + _HANDLERS[kind](self, record)

    def due(self, now: float) -> list[Action]:
        """Publish text that has waited long enough."""
        return self._texts(self.streams.due(now))

    def died(self, generation: int, facts: Facts) -> list[Action]:
        """Tell a worker's end (G17 to G22): what it wrote, why it ended, what is closed with it."""
        if generation != self._generation:
            return []
        actions = self._release(None, None, final=True) + self._flush()
        opened = self._requests.end()
        facts = self._add_to(facts)
        meant = facts.stopping or facts.restarting
        self._generation = 0
        actions.append(TellShell(Gone(generation)))
        told: list[tuple[post_mortem.Report, bool]] = []
        for one in opened:
            if one.begun or one.request.retried or meant:
                told.append((why := post_mortem.report(_of(facts, one)), not one.request.aside))
                costs = facts.costs if one.request.subshell is None else None
                actions += self._failed(one.request, why, one.count, begun=one.begun, costs=costs)
            else:
                actions.append(TellShell(Unbegun(one.request)))
        # Of several that ran, the one to blame is the one whose cell the stack shows.
        blamed = max(told, key=lambda one: (one[0].line, one[1]), default=None)
        report = post_mortem.report(facts) if blamed is None else blamed[0]
        if self._greeted and not told and not report.expected:
            # One that dies before its hello has said so itself, and the next may do better.
            actions.append(self._text(Text(0, "stderr", report.text + "\n")))
        if not facts.outcome.restored:
            actions += self._close_comms(self._comms.clear())
            self._requests.forget()
        actions.append(TellControl(Buried(generation, report)))
        return actions

    # Helpers, callee below caller.

    def _failed(
        self,
        request: Request,
        why: post_mortem.Report,
        count: int,
        *,
        begun: bool = False,
        costs: post_mortem.Costs | None = None,
    ) -> list[Action]:
        if request.message.msg_type == "comm_close":
            with suppress(MalformedMessageError):
                self._comms.forgotten(str(request.message.parsed_content().get("comm_id")))
        return failed(request, why, count, begun=begun, costs=costs)

    def _add_to(self, facts: Facts) -> Facts:
        """Add what is known here."""
        return facts._replace(
            native=self._native,
            leaving=self._leaving,
            before_hello=not self._greeted,
            newest=self._requests.next_count - 1,
        )

    def _check(self, record: Record) -> None:
        """Raise RecordError for a record that makes no sense, or cannot come now."""
        check(record)
        one = self._requests.get(record.number)
        match record.kind:
            case Kind.HELLO if self._greeted:
                raise RecordError("a worker says hello once")
            case Kind.BEGIN | Kind.BEGIN_CELL if one is None or one.begun:
                raise RecordError(f"request {record.number} begins, but was not sent")
            case Kind.INPUT | Kind.DONE as kind if one is None or not one.begun:
                raise RecordError(f"{kind.name} of request {record.number}, which does not run")
            case Kind.DONE if one is not None:
                msg_type = one.request.message.msg_type
                if string(record.parts[2]) != reply_type(msg_type):
                    raise RecordError(f"{record.parts[2]!r} answers no {msg_type}")
            case Kind.RETURNED if one is None or one.begun or not one.request.aside:
                raise RecordError(f"request {record.number} was not offered, and comes back")

    def _written(self, record: Record) -> list[Action]:
        name = "stdout" if record.kind is Kind.STDOUT else "stderr"
        text = written(record.parts[0])
        if not self._greeted and name == "stderr":
            self._native = (self._native + text)[-NATIVE_TAIL:]  # why it does not start
        before = self._release(*record.marks)
        return before + self._texts(self.streams.add(record.number, name, text))

    # One method for each kind of record, after it was checked and what stands before it was told.

    def _begin(self, record: Record) -> list[Action]:
        self._native = ""
        forgotten = (number for (number,) in struct.iter_unpack("<Q", record.parts[1]))
        request = self._requests.begin(record.number, number_in(record.parts[0]), forgotten)
        if request.channel == "internal":
            return []
        return [Publish("status", request.message.header, BUSY)]

    def _begin_cell(self, record: Record) -> list[Action]:
        begun = self._begin(record)
        return [*begun, Publish("execute_input", self._parent(record.number), record.parts[2])]

    def _publish(self, record: Record) -> list[Action]:
        name, content, metadata, *buffers = record.parts
        parent = self._parent(record.number)
        return [Publish(publishable(name), parent, content, metadata, tuple(buffers))]

    def _comm(self, record: Record) -> list[Action]:
        comm_id, target_name, name = map(string, record.parts[:3])
        content, metadata, *buffers = record.parts[3:]
        if name != "comm_open" and self._comms.is_ghost(comm_id):
            return []
        if name == "comm_open":
            self._comms.opened(comm_id, target_name)
        elif name == "comm_close":
            self._comms.closed(comm_id)
        return [Publish(name, self._parent(record.number), content, metadata, tuple(buffers))]

    def _comm_accepted(self, record: Record) -> list[Action]:
        self._comms.accepted(*map(string, record.parts))
        return []

    def _comm_forgotten(self, record: Record) -> list[Action]:
        self._comms.forgotten(string(record.parts[0]))
        return []

    def _input(self, record: Record) -> list[Action]:
        content, prompt = record.parts
        return [TellShell(InputAsked(record.number, content, prompt))]

    def _done(self, record: Record) -> list[Action]:
        count, abort, msg_type, content, metadata = record.parts
        request = self._requests.over(record.number, number_in(count))
        over = Reply(request, string(msg_type), content, metadata, abort=abort == b"1")
        if request.channel == "internal":
            return [TellShell(over)]
        return [Publish("status", request.message.header, IDLE), TellShell(over)]

    def _returned(self, record: Record) -> list[Action]:
        return [TellShell(Unbegun(self._requests.take_back(record.number)))]

    def _subshell_ended(self, record: Record) -> list[Action]:
        return [TellShell(SubshellEnded(self._generation, record.number))]

    def _leave(self, _: Record) -> list[Action]:
        self._leaving = True
        return [TellShell(Gone(self._generation)), TellControl(Leaving(self._generation))]

    def _hello(self, record: Record) -> list[Action]:
        self._greeted = True
        # Of one that was restored: what the dead one has opened since is unknown to it.
        gone = self._comms.keep(open_comms(record)) if record.parts else []
        return [*self._close_comms(gone), TellControl(Hello(self._generation))]

    def _close_comms(self, comm_ids: Iterable[str]) -> list[Action]:
        contents = (dumps({"comm_id": comm_id, "data": {}}) for comm_id in comm_ids)
        return [Publish("comm_close", NO_PARENT, content) for content in contents]

    def _log(self, record: Record) -> list[Action]:
        level, text = (part.decode("utf-8", "replace") for part in record.parts)
        return [Log(level, text)]

    def _release(
        self, out_mark: int | None, err_mark: int | None, *, final: bool = False
    ) -> list[Action]:
        out, err = self._captured
        if not final and out.is_empty and err.is_empty:
            return []
        # Whoever wrote these bytes (C code, a child) cannot be asked for which request.
        number = self._requests.owner()
        native = err.release(err_mark, final=final)
        self._native = (self._native + native)[-NATIVE_TAIL:]
        return self._texts(
            [
                *self.streams.add(number, "stdout", out.release(out_mark, final=final)),
                *self.streams.add(number, "stderr", native),
            ]
        )

    def _flush(self) -> list[Action]:
        return self._texts(texts) if (texts := self.streams.take()) else []

    def _texts(self, texts: Sequence[Text]) -> list[Action]:
        return [self._text(text) for text in texts]

    def _text(self, text: Text) -> Publish:
        number, name, words = text
        content = self._encoder.encode(name, words)
        return Publish("stream", self._parent(number), content, topic=_TOPICS[name])

    def _parent(self, number: int) -> bytes:
        return self._requests.parent(number)


_HANDLERS = {
    Kind.HELLO: Transcript._hello,  # noqa: SLF001 - the class's own table
    Kind.BEGIN: Transcript._begin,  # noqa: SLF001
    Kind.BEGIN_CELL: Transcript._begin_cell,  # noqa: SLF001
    Kind.PUBLISH: Transcript._publish,  # noqa: SLF001
    Kind.COMM: Transcript._comm,  # noqa: SLF001
    Kind.COMM_ACCEPTED: Transcript._comm_accepted,  # noqa: SLF001
    Kind.COMM_FORGOTTEN: Transcript._comm_forgotten,  # noqa: SLF001
    Kind.INPUT: Transcript._input,  # noqa: SLF001
    Kind.DONE: Transcript._done,  # noqa: SLF001
    Kind.LEAVING: Transcript._leave,  # noqa: SLF001
    Kind.LOG: Transcript._log,  # noqa: SLF001
    Kind.SUBSHELL_ENDED: Transcript._subshell_ended,  # noqa: SLF001
    Kind.RETURNED: Transcript._returned,  # noqa: SLF001
}


def _of(facts: Facts, one: Open) -> Facts:
    """Add what is known of a request that ran."""
    if not one.begun or not one.is_cell:
        return facts._replace(execution_count=one.count)
    code = ""
    with suppress(MalformedMessageError):
        code = str(one.request.message.parsed_content().get("code", ""))
    return facts._replace(code=code, execution_count=one.count, newest=one.count - 1)
