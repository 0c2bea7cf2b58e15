"""A debug session as the supervisor knows it: one pure object, events in, actions out.

Who asked what and has no answer yet, where breakpoints are, which threads are stopped: all of it is
here, so that debugInfo is answered at once whatever the worker does, and so that breakpoints
survive the worker. Requests that debugpy knows are passed on, under numbers of our own; those that
only Jupyter knows ("Debug request" in the messaging documentation) are put together from debugpy's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..shared import cells
from . import debug_words as words
from .debug_actions import Action, Answer, AskWorker, Close, Dump, ReadSource, Send, Tell
from .debug_breakpoints import Breakpoints
from .debug_phase import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from .dap import Message
    from .events import Request


class Session:
    """The state machine. A request is pending until debugpy, or the worker, has answered it."""

    def __init__(self, prefix: str) -> None:
        """Begin with a worker that has no debugger; cells' files have this prefix."""
        self.prefix = prefix
        self.phase = Phase.OFF
        self._token = ""
        self._asked: dict[str, tuple[Request, Message]] = {}  # of the worker itself, by msg_id
        self._waiting: list[tuple[Request, Message]] = []  # for the start to be over
        self._first: tuple[Request, Message] | None = None  # the request that started it
        self._pending: dict[int, tuple[Request | None, Message, Callable[..., list[Action]]]] = {}
        self._seq = 0
        self._breakpoints = Breakpoints()
        self._stopped: set[int] = set()
        self._held: Message | None = None  # a stop that is told once its threads are known

    def __repr__(self) -> str:
        return f"<Session {self.phase.name}: {len(self._pending)} pending, stopped {self._stopped}>"

    @property
    def is_stopped(self) -> bool:
        """Tell whether a thread stands at a breakpoint, or between two steps."""
        return bool(self._stopped) or self._held is not None

    # What clients ask.

    def ask(self, request: Request, asked: object) -> list[Action]:
        """Take the content of a debug_request."""
        if not words.is_request(asked):
            return [Answer(request, words.refusal({}, words.NO_REQUEST))]
        if asked["command"] == "debugInfo":
            return [Answer(request, words.response(asked, self._info()))]
        if self.phase is Phase.STARTING:
            self._waiting.append((request, asked))
            return []
        try:
            return self._handle(request, asked)
        except words.MalformedError as error:
            return [Answer(request, words.refusal(asked, str(error)))]

    def _handle(self, request: Request, asked: Message) -> list[Action]:
        command = asked["command"]
        if command == "initialize":
            return self._initialize(request, asked)
        if (handler := _ALWAYS.get(command)) is not None:
            return handler(self, request, asked)
        if self.phase is not Phase.ON:
            return [Answer(request, words.not_started(asked))]
        if (handler := _STARTED.get(command)) is not None:
            return handler(self, request, asked)
        if command in words.PROXIED:
            return [self._forward(request, asked)]
        return [Answer(request, words.refusal(asked, words.unknown(command)))]

    def _info(self) -> Message:
        return {
            "isStarted": self.phase is Phase.ON,
            "hashMethod": cells.METHOD,
            "hashSeed": cells.SEED,
            "tmpFilePrefix": self.prefix,
            "tmpFileSuffix": cells.SUFFIX,
            "breakpoints": self._breakpoints.listed(),
            "stoppedThreads": sorted(self._stopped),
            "richRendering": True,
            "exceptionPaths": ["Python Exceptions"],
            "copyToGlobals": True,
        }

    # The beginning and the end of a session.

    def _initialize(self, request: Request, asked: Message) -> list[Action]:
        if self.phase is not Phase.OFF:
            return [self._forward(request, asked, self._initialized)]
        self.phase = Phase.STARTING
        self._first = request, asked
        return [AskWorker(request, "start", {"prefix": self.prefix})]

    def connected(self, token: str) -> list[Action]:
        """Note a connection; whoever it is has to know the token that the worker was given."""
        self._token = token
        asked = {"command": "pydevdAuthorize", "arguments": {"debugServerAccessToken": None}}
        return [self._send(None, asked, self._introduced)]

    def _introduced(self, _: None, __: Message, response: Message) -> list[Action]:
        body = response.get("body")
        if not isinstance(body, dict) or body.get("clientAccessToken") != self._token:
            return [Close(), *self.failed(words.STRANGER)]
        assert self._first is not None
        request, asked = self._first
        return [self._forward(request, asked, self._initialized)]

    def _initialized(self, request: Request, asked: Message, response: Message) -> list[Action]:
        starting = self.phase is Phase.STARTING
        if response.get("success"):
            self.phase = Phase.ON
        elif starting:
            self.phase = Phase.READY
        self._first = None
        answers: list[Action] = [Answer(request, words.passed_on(asked, response))]
        return answers + (self._go_on() if starting else [])

    def _go_on(self) -> list[Action]:
        waiting, self._waiting = self._waiting, []
        return [action for request, asked in waiting for action in self.ask(request, asked)]

    def failed(self, why: str) -> list[Action]:
        """Note that the worker's debugger did not start."""
        if self.phase is not Phase.STARTING:
            return []
        self.phase = Phase.OFF
        self._pending.clear()
        first, self._first = self._first, None
        assert first is not None
        return [Answer(first[0], words.refusal(first[1], why)), *self._go_on()]

    def _attach(self, request: Request, asked: Message) -> list[Action]:
        arguments = words.arguments(asked) | words.ATTACH

        def answer(request: Request, _: Message, response: Message) -> list[Action]:
            return [Answer(request, words.passed_on(asked, response))]

        done = {"command": "configurationDone"}
        # debugpy takes them in this order; the client is answered when the last one is.
        return [
            self._send(None, {"command": "attach", "arguments": arguments}, self._noted),
            *(self._send(None, again, self._noted) for again in self._breakpoints.again()),
            self._send(request, done, answer),
        ]

    def _disconnect(self, request: Request, asked: Message) -> list[Action]:
        self.phase = Phase.READY
        self._breakpoints.clear()
        # Never with terminateDebuggee: the notebook's interpreter goes on.
        message = {"command": "disconnect", "arguments": {"terminateDebuggee": False}}

        def answer(request: Request, _: Message, response: Message) -> list[Action]:
            self._stopped.clear()
            return [Answer(request, words.passed_on(asked, response))]

        return [self._send(request, message, answer)]

    def lost(self) -> list[Action]:
        """Note that the worker, or its debugger, has ended. Breakpoints are kept."""
        if self.phase is Phase.STARTING:
            # Without a connection, what was asked may still reach the next worker.
            return self.failed(words.ENDED) if self._pending else []
        was, self.phase = self.phase, Phase.OFF
        pending, self._pending = self._pending, {}
        answers: list[Action] = [
            Answer(request, words.refusal(asked, words.ENDED))
            for request, asked, _ in pending.values()
            if request is not None
        ]
        self._stopped.clear()
        self._held = None
        if was is Phase.ON:
            answers.append(Tell(words.event("terminated", {})))
        return answers

    def let_go(self) -> list[Action]:
        """Let what was interrupted at a breakpoint go on: debugpy has not noticed."""
        if not self.is_stopped:
            return []
        go = {"command": "continue", "arguments": {"threadId": "*"}}
        return [self._send(None, go, self._gone_on)]

    def _gone_on(self, *_: Any) -> list[Action]:
        told = [*self._tell_held()]
        if self._stopped:
            body = {"threadId": min(self._stopped), "allThreadsContinued": True}
            told.append(Tell(words.event("continued", body)))
        self._stopped.clear()
        return told

    # What the debugger says.

    def heard(self, message: Message) -> list[Action]:
        """Take a message of the debugger in the worker."""
        kind = message.get("type")
        if kind == "event":
            return self._event(message)
        if kind != "response":
            return []
        number = message.get("request_seq")
        found = self._pending.pop(number, None) if isinstance(number, int) else None
        if found is None:
            return []
        request, asked, handler = found
        return handler(request, asked, message)

    def _event(self, event: Message) -> list[Action]:
        name, body = event.get("event"), event.get("body")
        body = body if isinstance(body, dict) else {}
        thread = body.get("threadId")
        told = words.event(str(name), body)
        if name == "stopped" and isinstance(thread, int):
            self._stopped.add(thread)
            if body.get("allThreadsStopped"):
                self._held = told
                return [self._send(None, {"command": "threads"}, self._threads)]
        if name == "continued":
            before = self._tell_held()
            if body.get("allThreadsContinued"):
                self._stopped.clear()
            self._stopped -= {thread} if isinstance(thread, int) else set()
            return [*before, Tell(told)]
        if name == "thread" and body.get("reason") == "exited" and isinstance(thread, int):
            self._stopped.discard(thread)
        if name == "terminated" or words.is_noise(told):
            return []  # the end is told when it comes, and once
        return [Tell(told)]

    def _threads(self, _: None, __: Message, response: Message) -> list[Action]:
        body = response.get("body")
        threads = body.get("threads") if isinstance(body, dict) else None
        if self._held is not None:
            for thread in threads if isinstance(threads, list) else ():
                if isinstance(thread, dict) and isinstance(thread.get("id"), int):
                    self._stopped.add(thread["id"])
        return self._tell_held()

    def _tell_held(self) -> list[Action]:
        held, self._held = self._held, None
        return [Tell(held)] if held is not None else []

    # Breakpoints.

    def _set(self, request: Request, asked: Message) -> list[Action]:
        self._breakpoints.wanted(asked)
        return [self._forward(request, asked, self._placed)]

    def _placed(self, request: Request, asked: Message, response: Message) -> list[Action]:
        self._breakpoints.placed(asked, response)
        return [Answer(request, words.passed_on(asked, response))]

    def _configured(self, request: Request, asked: Message) -> list[Action]:
        return [Answer(request, words.response(asked, {}))]  # it was, with attach

    # Cells and files.

    def _dump(self, request: Request, asked: Message) -> list[Action]:
        code = words.argument(asked, "code", str)
        path = cells.file_name(self.prefix, code)
        return [Dump(path, code, Answer(request, words.response(asked, {"sourcePath": path})))]

    def _source(self, request: Request, asked: Message) -> list[Action]:
        return [ReadSource(request, asked, words.source(asked))]

    # What is looked into. Before the debugger was loaded the worker itself is asked.

    def _inspect(self, request: Request, asked: Message) -> list[Action]:
        command, arguments = asked["command"], words.arguments(asked)
        if self.phase is Phase.OFF:
            self._asked[request.message.msg_id] = request, asked
            return [AskWorker(request, command, arguments)]
        return [self._evaluate(request, asked, words.look(command, arguments))]

    def _evaluate(
        self, request: Request, asked: Message, expression: str, frame: int | None = None
    ) -> Send:
        arguments: Message = {"expression": expression, "context": "clipboard"}
        if frame is not None:
            arguments["frameId"] = frame

        def answer(request: Request, _: Message, response: Message) -> list[Action]:
            return [Answer(request, words.looked_at(asked, response))]

        return self._send(request, {"command": "evaluate", "arguments": arguments}, answer)

    def starts(self, request: Request) -> bool:
        """Tell whether this is the request for which the worker loads its debugger."""
        return self._first is not None and (self._first[0].message.msg_id == request.message.msg_id)

    def worker_told(self, request: Request, content: Message) -> list[Action]:
        """Take the worker's own answer to what it was asked."""
        found = self._asked.pop(request.message.msg_id, None)
        ok = content.get("status") == "ok"
        why = str(content.get("evalue", words.NO_LOOK))
        if found is None:
            return [Close(), *self.failed(why)] if self.starts(request) and not ok else []
        # Not ``request``, which is the supervisor's own: its number and channel are others.
        client, asked = found
        body = content.get("body")
        if ok and isinstance(body, dict):
            return [Answer(client, words.visible(asked, body))]
        return [Answer(client, words.refusal(asked, why))]

    def _rich(self, request: Request, asked: Message) -> list[Action]:
        name = words.argument(asked, "variableName", str)
        if not name.isidentifier():
            return [Answer(request, words.no_variable(asked, name))]
        frame = words.arguments(asked).get("frameId")
        if self.phase is Phase.ON and self._stopped and isinstance(frame, int) and frame:
            return [self._evaluate(request, asked, words.look_in_frame(name), frame)]
        return self._inspect(request, asked)

    def _variables(self, request: Request, asked: Message) -> list[Action]:
        if not self._stopped:
            return self._inspect(request, asked)

        def answer(request: Request, asked: Message, response: Message) -> list[Action]:
            if response.get("success") and isinstance(response.get("body"), dict):
                return [Answer(request, words.visible(asked, response["body"]))]
            return [Answer(request, words.passed_on(asked, response))]

        return [self._forward(request, asked, answer)]

    def _copy(self, request: Request, asked: Message) -> list[Action]:
        source = words.argument(asked, "srcVariableName", str)
        target = words.argument(asked, "dstVariableName", str)
        if not source.isidentifier() or not target.isidentifier():
            return [Answer(request, words.refusal(asked, words.NO_NAMES))]
        if self.phase is not Phase.ON or not self._stopped:
            return [Answer(request, words.refusal(asked, words.NOT_STOPPED))]
        arguments = {
            "expression": f"globals()[{target!r}]",
            "value": source,
            "frameId": words.argument(asked, "srcFrameId", int),
        }
        copied = asked | {"command": "setExpression", "arguments": arguments}
        return [self._forward(request, copied)]

    # Requests to the debugger.

    def _forward(
        self, request: Request, asked: Message, handler: Callable[..., list[Action]] | None = None
    ) -> Send:
        def answer(request: Request, asked: Message, response: Message) -> list[Action]:
            return [Answer(request, words.passed_on(asked, response))]

        return self._send(request, asked, handler or answer)

    def _send(
        self, request: Request | None, asked: Message, handler: Callable[..., list[Action]]
    ) -> Send:
        self._seq += 1
        self._pending[self._seq] = request, asked, handler
        arguments = words.arguments(asked)
        return Send(
            {
                "seq": self._seq, "type": "request",
                "command": asked["command"], "arguments": arguments,
            }
        )  # fmt: skip

    def _noted(self, *_: Any) -> list[Action]:
        return []


_ALWAYS: dict[str, Callable[[Session, Request, Message], list[Action]]] = {
    "dumpCell": Session._dump,  # noqa: SLF001 - the class's own tables
    "source": Session._source,  # noqa: SLF001
    "inspectVariables": Session._inspect,  # noqa: SLF001
    "modules": Session._inspect,  # noqa: SLF001
    "richInspectVariables": Session._rich,  # noqa: SLF001
    "copyToGlobals": Session._copy,  # noqa: SLF001
}
"""Requests that are answered whether somebody debugs or not."""

_STARTED: dict[str, Callable[[Session, Request, Message], list[Action]]] = {
    "attach": Session._attach,  # noqa: SLF001
    "configurationDone": Session._configured,  # noqa: SLF001
    "disconnect": Session._disconnect,  # noqa: SLF001
    "terminate": Session._disconnect,  # noqa: SLF001
    "setBreakpoints": Session._set,  # noqa: SLF001
    "setExceptionBreakpoints": Session._set,  # noqa: SLF001
    "setFunctionBreakpoints": Session._set,  # noqa: SLF001
    "variables": Session._variables,  # noqa: SLF001
}
"""Requests of a session that are not passed on as they are."""
