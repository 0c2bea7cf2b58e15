"""The transcript's actions as short strings, so that what is expected is a list one can read.

busy 1                              the message's name and the request that is its parent
stdout 1 'text'                     text of a stream; parent - for none
error 1 KernelKilled
display_data 1 {"data": 1}
comm_open 1 c                       with the comm's id
reply 1 execute_reply ok            Shell is told that a request is over; "aborting" if what
over 3                              waits is to be aborted; "over" if there is no reply to send
hello 1, gone 1, buried 1           a worker, by its generation
"""

from __future__ import annotations

import json
import re
from functools import cache

from bulkhead_kernel.shared.records import Kind, Record
from bulkhead_kernel.supervisor import events
from bulkhead_kernel.supervisor.actions import Log, Publish, TellControl
from bulkhead_kernel.supervisor.events import Request
from bulkhead_kernel.supervisor.post_mortem import Facts, report
from bulkhead_kernel.supervisor.transcript import Transcript, reply_type
from bulkhead_kernel.supervisor.wire import Message

CRASH = Facts(exitcode=-9, pid=123)
STOPPING = Facts(stopping=True)
_REPORT = re.compile(r"\x1b\[31m(Kernel\w+)\x1b\[0m: ")


def message(msg_id, msg_type="execute_request", content=b"{}", buffers=(), subshell=None):
    """Make a client's message; its header is as short as can be."""
    header = f'{{"msg_id":"{msg_id}"}}'.encode()
    return Message(
        (b"client",), header, b"{}", b"{}", content, buffers, str(msg_id), msg_type, subshell
    )


def request(
    number, msg_type="execute_request", channel="shell", *,
    retried=False, subshell=None, aside=False,
):  # fmt: skip
    """Make a request whose number is its msg_id, too."""
    asked = message(number, msg_type, subshell=subshell)
    return Request(number, asked, channel, retried, subshell, aside)


def record(kind, number=0, *parts, marks=(0, 0)):
    """Make a worker's record; parts may be given as text."""
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return Record(kind, number, marks, encoded)


def tell(actions):
    """Write down what the transcript says, one string an action."""
    return [_tell(action) for action in actions]


def _tell(action):
    # Tuples of two kinds may be equal, and are not the same for that.
    return _tell_kind(type(action), type(getattr(action, "event", None)), action)


@cache
def _tell_kind(_, __, action):
    if isinstance(action, Publish):
        return _tell_message(action)
    if isinstance(action, Log):
        return f"log {action.level}: {action.text}"
    event = action.event
    match event:
        case events.Reply():
            words = _tell_reply(event)
        case events.Unbegun(asked):
            words = f"unbegun {asked.message.msg_id}"
        case events.InputAsked(number, content, prompt):
            words = f"input {number} {content.decode()} {prompt.decode()}"
        case events.SubshellEnded(_, number):
            words = f"ended {number}"
        case _:
            words = f"{type(event).__name__.lower()} {event.generation}"
    return (
        f"control: {words}"
        if event.__class__ is events.Reply and isinstance(action, TellControl)
        else words
    )


def _tell_message(action):
    parent = json.loads(action.parent).get("msg_id", "-")
    name, content = action.msg_type, action.content.decode()
    rest = f" {content}" if content != "{}" else ""
    if name == "status":
        name, rest = json.loads(content)["execution_state"], ""
    elif name == "stream":
        fields = json.loads(content)
        report = _REPORT.match(fields["text"])
        name, rest = fields["name"], f" ({report[1]})" if report else f" {fields['text']!r}"
    elif name == "error":
        rest = f" {json.loads(content)['ename']}"
    elif name.startswith("comm_"):
        rest = f" {json.loads(content)['comm_id']}"
    return f"{name} {parent}{rest}" + (f" +{len(action.buffers)}" if action.buffers else "")


def _tell_reply(reply):
    words = ["reply", reply.request.message.msg_id, reply.msg_type]
    if not reply.msg_type:
        words = ["over", reply.request.message.msg_id]
    elif reply.msg_type == "comm_info_reply":
        comms = json.loads(reply.content)["comms"]
        words.append(
            ",".join(sorted(f"{name}:{comm['target_name']}" for name, comm in comms.items()))
            or "none"
        )
    else:
        words.append(json.loads(reply.content).get("status", "-"))
    return " ".join(words + ["aborting"] * reply.abort)


class Teller:
    """A transcript that is spoken to, and answers, in short strings. Worker 1 is attached."""

    def __init__(self):
        self.transcript = Transcript()
        self.types = {}
        self.now = 1000.0
        self.attach(1)

    def attach(self, generation):
        self.generation = generation
        assert self.transcript.attach(generation) == []

    def sent(
        self, number, msg_type="execute_request", *, generation=None, retried=False, subshell=None
    ):
        self.types[number] = msg_type
        asked = request(number, msg_type, retried=retried, subshell=subshell)
        event = events.Sent(asked, generation or self.generation)
        return tell(self.transcript.sent(event))

    def record(self, kind, number=0, *parts, marks=(0, 0)):
        return tell(self.transcript.record(record(kind, number, *parts, marks=marks)))

    def begin(self, number, count="1", forgotten=b"", marks=(0, 0)):
        return self.record(Kind.BEGIN, number, count, forgotten, marks=marks)

    def out(self, number, text, marks=(0, 0)):
        return self.record(Kind.STDOUT, number, text, marks=marks)

    def err(self, number, text, marks=(0, 0)):
        return self.record(Kind.STDERR, number, text, marks=marks)

    def publish(self, number, name="display_data", content="{}", *buffers, marks=(0, 0)):
        return self.record(Kind.PUBLISH, number, name, content, "{}", *buffers, marks=marks)

    def comm(self, number, name, comm_id="c", target="t", *buffers):
        content = json.dumps({"comm_id": comm_id})
        return self.record(Kind.COMM, number, comm_id, target, name, content, "{}", *buffers)

    def done(self, number, content='{"status":"ok"}', *, abort=False, count="2", marks=(0, 0)):
        name = reply_type(self.types[number])
        flag = "1" if abort else "0"
        return self.record(Kind.DONE, number, count, flag, name, content, "{}", marks=marks)

    def run(self, number, msg_type="execute_request"):
        """Let a request run that says nothing, and is no news."""
        self.sent(number, msg_type)
        self.begin(number)
        self.done(number)

    def died(self, why=CRASH, generation=None):
        return tell(self.transcript.died(generation or self.generation, why))

    def settle(self):
        return tell(self.transcript.settle())

    def captured(self, descriptor, data):
        self.transcript.captured(descriptor, data)

    def due(self):
        """Let time pass until what waits is due; give it."""
        told = []
        for _ in "looked at", "due":
            self.now += 1.0
            told += tell(self.transcript.due(self.now))
        return told

    def answer(self, number, msg_type="kernel_info_request", channel="shell", *, publish=False):
        asked = request(number, msg_type, channel)
        name, content = reply_type(msg_type), b'{"status":"ok"}'
        return tell(self.transcript.answer(events.Answer(asked, name, content, publish)))

    def comm_info(self, number, target=None):
        asked = request(number, "comm_info_request")
        return tell(self.transcript.comm_info(events.CommInfo(asked, target)))

    def comm_closed(self, comm_id="c"):
        return tell(self.transcript.comm_closed(events.CommClosed(comm_id)))

    def abort(self, number):
        return tell(self.transcript.abort(events.Abort(request(number))))

    def refuse(self, number, msg_type="execute_request", why=CRASH):
        return tell(self.transcript.refuse(events.Refuse(request(number, msg_type), report(why))))

    def remark(self, number, text):
        return tell(self.transcript.remark(events.Remark(number, text)))
