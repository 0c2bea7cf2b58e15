"""The debug session, event by event, without a worker, a socket or debugpy."""

from __future__ import annotations

import base64
import json
from itertools import count

import pytest
from bulkhead_kernel.supervisor import debug_words as words
from bulkhead_kernel.supervisor.debug_actions import (
    Answer,
    AskWorker,
    Close,
    Dump,
    ReadSource,
    Send,
    Tell,
)
from bulkhead_kernel.supervisor.debug_phase import Phase
from bulkhead_kernel.supervisor.debug_session import Session
from bulkhead_kernel.supervisor.events import Request
from bulkhead_kernel.supervisor.wire import Message
from hypothesis import given
from hypothesis import strategies as st

PREFIX = "/cells/"
PLACES = {"source": {"path": "/cells/1.py"}, "breakpoints": [{"line": 2, "condition": "x"}]}


class World:
    """A session, a client that asks it, and the other end of its connection."""

    def __init__(self):
        self.session = Session(PREFIX)
        self.sent = []
        self._numbers = count(1)

    def request(self):
        number = next(self._numbers)
        message = Message((), b"{}", b"{}", b"{}", b"{}", (), f"id-{number}", "debug_request")
        return Request(number, message, "control")

    def ask(self, command, /, **arguments):
        return self.note(self.session.ask(self.request(), asked(command, **arguments)))

    def note(self, actions):
        self.sent += [action.message for action in actions if isinstance(action, Send)]
        return actions

    def reply(self, body=None, *, success=True):
        """Let debugpy answer the oldest request that it was sent."""
        request = self.sent.pop(0)
        return self.note(
            self.session.heard(
                {
                    "type": "response", "request_seq": request["seq"], "success": success,
                    "command": request["command"], "body": body or {}, "pydevd_cmd_id": 3,
                }
            )
        )  # fmt: skip

    def event(self, name, **body):
        return self.note(self.session.heard({"type": "event", "event": name, "body": body}))

    def start(self):
        (order,) = self.ask("initialize")
        assert isinstance(order, AskWorker)
        self.note(self.session.connected("secret"))
        assert self.reply({"clientAccessToken": "secret"}) != []
        (answer,) = self.reply({"supportsConfigurationDoneRequest": True})
        assert answer.response["success"]
        assert self.session.phase is Phase.ON
        return self

    def stop(self):
        assert self.event("stopped", threadId=1, allThreadsStopped=True) != []
        (told,) = self.reply({"threads": [{"id": 1}, {"id": 2}]})
        assert told.event["event"] == "stopped"
        return self


def asked(command, **arguments):
    return {"type": "request", "seq": 7, "command": command, "arguments": arguments}


def sealed(content):
    return {"result": repr(base64.b64encode(json.dumps(content).encode()).decode())}


@pytest.fixture
def world():
    return World()


class TestBegin:
    def test_the_first_initialize_asks_the_worker(self, world):
        """With the prefix of cells; the client is answered by debugpy itself, much later."""
        (order,) = world.ask("initialize", clientID="c")
        assert (order.command, order.arguments) == ("start", {"prefix": PREFIX})
        assert world.session.phase is Phase.STARTING
        world.note(world.session.connected("secret"))
        assert world.sent[0]["command"] == "pydevdAuthorize"
        (send,) = world.reply({"clientAccessToken": "secret"})
        assert send.message["arguments"] == {"clientID": "c"}
        (answer,) = world.reply({"supports": 1})
        assert answer.response == {
            "type": "response", "request_seq": 7, "success": True, "command": "initialize",
            "body": {"supports": 1},
        }  # fmt: skip

    @pytest.mark.parametrize("body", [{}, {"clientAccessToken": "guess"}, {"clientAccessToken": 1}])
    def test_a_stranger_is_left_alone(self, world, body):
        """It gets nothing of what the client said; the client is told."""
        world.ask("initialize", clientID="c")
        world.note(world.session.connected("secret"))
        close, answer = world.reply(body)
        assert isinstance(close, Close)
        assert answer.response["message"] == words.STRANGER
        assert world.session.phase is Phase.OFF

    def test_what_comes_meanwhile_waits_and_debug_info_does_not(self, world):
        """In order, behind the start."""
        world.ask("initialize")
        assert world.ask("attach") == []
        assert world.ask("threads") == []
        (info,) = world.ask("debugInfo")
        assert info.response["body"]["isStarted"] is False
        world.note(world.session.connected("secret"))
        world.reply({"clientAccessToken": "secret"})
        world.reply()
        assert [m["command"] for m in world.sent] == ["attach", "configurationDone", "threads"]

    def test_a_failed_start_is_told_and_what_waits_is_refused(self, world):
        """And another one can be tried."""
        (order,) = world.ask("initialize")
        first_request = order.request
        world.ask("attach")
        close, first, second = world.session.worker_told(
            first_request, {"status": "error", "evalue": "no debugpy here"}
        )
        assert isinstance(close, Close)
        assert first.response["message"] == "no debugpy here"
        assert second.response["message"] == words.NOT_STARTED
        assert isinstance(world.ask("initialize")[0], AskWorker)

    def test_attach_sends_what_was_set_before_and_then_goes_on(self, world):
        """debugpy runs nobody until configurationDone: that is what answers attach."""
        world.start()
        world.ask("setBreakpoints", **PLACES)
        world.reply({"breakpoints": [{"line": 3}]})
        world.ask("setExceptionBreakpoints", filters=["raised"])
        world.reply()
        world.ask("attach", mine=1)
        assert [m["command"] for m in world.sent] == [
            "attach", "setBreakpoints", "setExceptionBreakpoints", "configurationDone",
        ]  # fmt: skip
        assert world.sent[0]["arguments"]["mine"] == 1
        assert world.sent[0]["arguments"]["subProcess"] is False
        assert world.sent[1]["arguments"]["breakpoints"] == [{"line": 3, "condition": "x"}]
        assert [world.reply() for _ in range(3)] == [[], [], []]
        (answer,) = world.reply()
        assert answer.response["command"] == "attach"


class TestRequests:
    def test_numbers_are_ours_on_the_way_and_the_clients_on_the_way_back(self, world):
        """Answers may come in any order, and each finds its request."""
        world.start()
        world.ask("threads")
        world.ask("scopes", frameId=3)
        world.sent.reverse()
        assert world.reply()[0].response["command"] == "scopes"
        assert world.reply()[0].response["request_seq"] == 7
        assert world.session.heard({"type": "response", "request_seq": 99}) == []

    @pytest.mark.parametrize("command", ["nonsense", "loadedSources", "restart"])
    def test_what_debugpy_would_not_answer_is_refused(self, world, command):
        """A client would wait for ever."""
        (answer,) = world.start().ask(command)
        assert command in answer.response["message"]

    def test_disconnect_never_ends_the_interpreter(self, world):
        """Whatever the client says; its breakpoints are forgotten."""
        world.start()
        world.ask("setBreakpoints", **PLACES)
        world.reply({"breakpoints": [{"line": 2}]})
        world.ask("terminate", terminateDebuggee=True)
        assert world.sent[0]["command"] == "disconnect"
        assert world.sent[0]["arguments"] == {"terminateDebuggee": False}
        (answer,) = world.reply()
        assert answer.response["command"] == "terminate"
        (info,) = world.ask("debugInfo")
        assert info.response["body"]["breakpoints"] == []
        assert world.session.phase is Phase.READY
        world.ask("initialize")  # needs no worker, whose debugger is there
        assert world.sent[0]["command"] == "initialize"

    def test_files_are_for_the_supervisor(self, world):
        """dumpCell and source need neither debugger nor worker."""
        (dump,) = world.ask("dumpCell", code="x")
        assert isinstance(dump, Dump)
        assert dump.path == dump.answer.response["body"]["sourcePath"]
        assert dump.path.startswith(PREFIX)
        (read,) = world.ask("source", source={"path": "/a"})
        assert isinstance(read, ReadSource)

    def test_inspection_asks_the_worker_or_debugpy(self, world):
        """Before anybody debugs the worker answers between cells; the answer is the client's."""
        request = world.request()
        (order,) = world.session.ask(request, asked("inspectVariables"))
        assert isinstance(order, AskWorker)
        ours = request._replace(number=99, channel="internal")
        body = {"variables": [{"name": "x"}, {"name": "_i1"}, {"name": "In"}, {"name": "_x"}]}
        (answer,) = world.session.worker_told(ours, {"status": "ok", "body": body})
        assert answer.request == request
        assert answer.response["body"] == {"variables": [{"name": "x"}, {"name": "_x"}]}
        world.start()
        (send,) = world.ask("inspectVariables")
        assert send.message["command"] == "evaluate"
        (answer,) = world.reply(sealed(body))
        assert answer.response["body"] == {"variables": [{"name": "x"}, {"name": "_x"}]}

    @pytest.mark.parametrize("result", ["", "'@'", "'W10='", "'e30", 3, None])
    def test_what_cannot_be_an_answer_is_none(self, world, result):
        """G26: whatever the worker says."""
        world.start()
        world.ask("modules")
        (answer,) = world.reply({"result": result})
        assert answer.response["success"] is False

    def test_copy_to_globals_takes_names_only(self, world):
        """They are put into an expression."""
        world.start().stop()
        good = {"srcVariableName": "a", "dstVariableName": "b", "srcFrameId": 3}
        (answer,) = world.ask("copyToGlobals", **good | {"dstVariableName": "x'] or y['"})
        assert answer.response["message"] == words.NO_NAMES
        (send,) = world.ask("copyToGlobals", **good)
        assert send.message["arguments"] == {
            "expression": "globals()['b']", "value": "a", "frameId": 3,
        }  # fmt: skip


class TestStops:
    def test_a_stop_is_told_when_its_threads_are_known(self, world):
        """So debugInfo agrees with what clients have seen."""
        world.start()
        (send,) = world.event("stopped", threadId=1, allThreadsStopped=True)
        assert send.message["command"] == "threads"
        assert world.reply({"threads": [{"id": 1}, {"id": 2}]}) == [
            Tell(words.event("stopped", {"threadId": 1, "allThreadsStopped": True}))
        ]
        assert world.ask("debugInfo")[0].response["body"]["stoppedThreads"] == [1, 2]

    def test_a_stop_that_is_over_before_is_told_in_order(self, world):
        """First that it stopped, then that it goes on; and nothing is stopped."""
        world.start()
        world.event("stopped", threadId=1, allThreadsStopped=True)
        told = world.event("continued", threadId=1, allThreadsContinued=True)
        assert [action.event["event"] for action in told] == ["stopped", "continued"]
        assert world.reply({"threads": [{"id": 1}]}) == []
        assert not world.session.is_stopped

    def test_single_threads(self, world):
        """They stop, go on and end by themselves."""
        world.start()
        world.event("stopped", threadId=5)
        world.event("stopped", threadId=6)
        world.event("continued", threadId=5)
        assert world.ask("debugInfo")[0].response["body"]["stoppedThreads"] == [6]
        world.event("thread", reason="exited", threadId=6)
        assert not world.session.is_stopped

    def test_an_interrupt_lets_go(self, world):
        """Only what is stopped; that it goes on is told, though debugpy has not noticed."""
        world.start()
        assert world.session.let_go() == []
        world.stop()
        (send,) = world.note(world.session.let_go())
        assert send.message["command"] == "continue"
        (told,) = world.reply()
        assert told.event["event"] == "continued"
        assert not world.session.is_stopped

    def test_noise_is_kept_from_clients(self, world):
        """Telemetry, the kernel's own modules, and a farewell that we say ourselves."""
        world.start()
        assert world.event("output", category="telemetry", output="ptvsd") == []
        assert world.event("module", module={"name": "bulkhead_kernel.worker.loop"}) == []
        assert world.event("terminated") == []
        assert world.event("module", module={"name": "mine", "path": "/m.py"}) != []


class TestLoss:
    def test_pending_requests_are_answered_and_the_end_is_told(self, world):
        """Breakpoints are kept for the next session."""
        world.start()
        world.ask("setBreakpoints", **PLACES)
        world.reply({"breakpoints": [{"line": 2}]})
        world.stop()
        world.ask("evaluate", expression="1")
        world.session.let_go()
        answer, told = world.session.lost()
        assert (answer.response["command"], answer.response["message"]) == ("evaluate", words.ENDED)
        assert told == Tell(words.event("terminated", {}))
        body = world.ask("debugInfo")[0].response["body"]
        assert (body["isStarted"], body["stoppedThreads"]) == (False, [])
        assert body["breakpoints"] == [
            {"source": "/cells/1.py", "breakpoints": PLACES["breakpoints"]}
        ]
        assert world.session.lost() == []
        world.sent.clear()
        world.start().ask("attach")
        assert [m["command"] for m in world.sent] == [
            "attach", "setBreakpoints", "configurationDone",
        ]  # fmt: skip

    def test_a_worker_that_dies_before_it_was_asked_leaves_the_start_to_the_next(self, world):
        """The request is still in Shell's queue."""
        world.ask("initialize")
        assert world.session.lost() == []
        assert world.session.phase is Phase.STARTING

    def test_a_worker_that_dies_while_its_debugger_starts(self, world):
        """Whoever asked for it is told, once."""
        world.ask("initialize")
        world.session.connected("secret")
        (answer,) = world.session.lost()
        assert answer.response["message"] == words.ENDED
        assert world.session.lost() == []

    def test_nobody_is_told_of_the_end_of_what_nobody_used(self, world):
        """After disconnect there is no session to end."""
        world.start()
        world.ask("disconnect")
        world.reply()
        assert world.session.lost() == []


things = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["stopped", "x", "path"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([
            "type", "event", "body", "threadId", "threads", "id", "request_seq", "success",
            "result",
            "breakpoints", "line", "module", "variables", "command", "arguments", "source", "path",
            "allThreadsStopped", "allThreadsContinued", "seq", "clientAccessToken", "category",
        ]), inner, max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip
commands = st.sampled_from([
    "initialize", "attach", "disconnect", "setBreakpoints", "setExceptionBreakpoints", "variables",
    "inspectVariables", "richInspectVariables", "copyToGlobals", "modules", "dumpCell", "source",
    "debugInfo", "configurationDone", "continue", "evaluate", "nonsense",
])  # fmt: skip


class TestAnything:
    @given(st.lists(
        st.tuples(st.just("ask"), commands, things)
        | st.tuples(st.just("heard"), st.sampled_from(["event", "response"]), things)
        | st.sampled_from([("lost", "", None), ("connected", "", None), ("let_go", "", None)]),
        max_size=12,
    ))  # fmt: skip
    def test_no_sequence_fails_and_each_request_is_answered_once(self, steps):
        """G9, G26: whatever clients and the worker say, each request has its answer at last."""
        world = World()
        asked_of, answered, left = [], [], []

        def note(actions):
            for action in actions:
                if isinstance(action, Dump):
                    answered.append(action.answer.request.number)
                elif isinstance(action, (Answer, ReadSource)):
                    answered.append(action.request.number)
                elif isinstance(action, AskWorker):
                    left.append(action.request)

        for kind, name, thing in steps:
            if kind == "ask":
                request = world.request()
                asked_of.append(request.number)
                content = {"command": name, "seq": 1, "arguments": thing}
                note(world.session.ask(request, content))
            elif kind == "heard":
                body = thing if isinstance(thing, dict) else {}
                message = {"event": "stopped", "request_seq": 1} | body | {"type": name}
                note(world.session.heard(message))
            elif kind != "connected":
                note(getattr(world.session, kind)())
            elif world.session.phase is Phase.STARTING:
                note(world.session.connected("secret"))
        # The end: what went elsewhere comes back, and the worker is gone.
        for _ in range(len(steps) + 1):
            note(world.session.lost())
            while left:
                note(world.session.worker_told(left.pop(), {"status": "error"}))
        assert sorted(answered) == asked_of
