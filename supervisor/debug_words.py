"""Messages of the Debug Adapter Protocol as data: what is read out of them, what they are made of.

Raises MalformedError, whose text is for the client, for a request that lacks what it needs.
"""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

if TYPE_CHECKING:
    from .dap import Message

T = TypeVar("T")

PROXIED = frozenset({
    "completions", "continue", "evaluate", "exceptionInfo", "goto", "gotoTargets", "next", "pause",
    "scopes", "setExpression", "setVariable", "stackTrace", "stepIn", "stepInTargets", "stepOut",
    "threads",
})  # fmt: skip
"""Requests that debugpy answers. It is silent on others, and a client would wait for ever."""

_MODULES = "bulkhead_kernel", "IPython", "traitlets", "asyncio", "multiprocess"
_FOLDER = f"{Path(__file__).parent}{os.sep}"  # of what is __main__ in a worker

ATTACH: Message = {
    "justMyCode": False,
    "debugOptions": ["DebugStdLib"],
    "subProcess": False,
    # What runs a cell is no part of it: not in the stack, and no step leads there.
    "rules": [
        *({"module": module, "include": False} for module in _MODULES),
        {"path": f"{_FOLDER}**", "include": False},
    ],
}
"""What is added to the arguments of ``attach``."""

NO_REQUEST = (
    "This is no request of the Debug Adapter Protocol: it must be an object with a command, "
    "a seq and, if it has arguments, an object of them."
)
NOT_STARTED = (
    "No debugger is running: it was not started yet, or the interpreter has ended since. "
    "Start it (initialize, then attach); breakpoints that were set before an end are kept."
)
NOT_STOPPED = "Nothing is stopped at a breakpoint, so there is no frame to copy a variable from."
NO_NAMES = "srcVariableName and dstVariableName must be names that a variable can have."
ENDED = (
    "The interpreter has ended, and the debugger with it. Start the debugger again; its "
    "breakpoints are kept."
)
STRANGER = "Something else than this kernel's interpreter has connected to the kernel. Try again."
NOT_AGAIN = (
    "The debugger of this interpreter has ended, and cannot be started a second time. Restart the "
    "kernel to debug again."
)
NO_LOOK = "The interpreter could not show that; an object in it may fail to describe itself."
_HIDDEN = re.compile(
    r"_i.*|_\d.*|_|__|___|_oh|_dh|In|Out|exit|quit|get_ipython|debugpy|display"
    r"|__(name|doc|package|loader|spec|annotations|builtins?|display)__"
)
"""Names that are in every notebook, and nobody's own."""

_LOOK = "__import__('sys').modules['bulkhead_kernel.worker.inspection']"


class MalformedError(Exception):
    """A client's request lacks something."""


def is_request(asked: object) -> TypeGuard[Message]:
    """Tell whether this can be a request."""
    return (
        isinstance(asked, dict)
        and isinstance(asked.get("command"), str)
        and isinstance(asked.get("seq", 0), int)
        and isinstance(asked.get("arguments", {}), dict | None)
    )


def response(asked: Message, body: Message) -> Message:
    """Make the response to a request that succeeds."""
    return {
        "type": "response",
        "seq": asked.get("seq", 0),
        "request_seq": asked.get("seq", 0),
        "success": True,
        "command": asked.get("command", ""),
        "body": body,
    }


def refusal(asked: Message, why: str) -> Message:
    """Make the response to a request that fails."""
    return response(asked, {}) | {"success": False, "message": why}


def not_started(asked: Message) -> Message:
    """Answer what only a running debugger can do; to end it is done."""
    if asked["command"] in ("disconnect", "terminate"):
        return response(asked, {})
    return refusal(asked, NOT_STARTED)


def unknown(command: str) -> str:
    """Tell that nobody knows a command."""
    return f"The debugger of this kernel has no command {command[:100]!r}."


def event(name: str, body: Message) -> Message:
    """Make an event."""
    return {"type": "event", "seq": 0, "event": name, "body": body}


def is_noise(told: Message) -> bool:
    """Tell whether an event is about debugpy, or about modules that run the cell: nobody's news."""
    body = told["body"]
    if told["event"] == "output":
        # Of an interrupt at a breakpoint it says that no more is debugged; the next cell is.
        return body.get("category") == "telemetry" or "callback set in sys." in str(
            body.get("output")
        )
    module = body.get("module")
    if told["event"] != "module" or not isinstance(module, dict):
        return False
    name, path = str(module.get("name")), str(module.get("path"))
    return name.partition(".")[0] in _MODULES or path.startswith(_FOLDER)


def argument(asked: Message, name: str, kind: type[T]) -> T:
    """Read an argument that the request must have."""
    value = arguments(asked).get(name)
    if not isinstance(value, kind):
        raise MalformedError(f"{asked['command']} needs {name}, of type {kind.__name__}.")
    return value


def source(asked: Message) -> str:
    """Read the path of the source that a request is about."""
    path = argument(asked, "source", dict).get("path")
    if not isinstance(path, str):
        raise MalformedError(f"{asked['command']} needs source.path, a string.")
    return path


def places(asked: Message) -> tuple[str, list[Message]]:
    """Read which breakpoints a file is to have."""
    wanted = arguments(asked).get("breakpoints") or []
    if not isinstance(wanted, list) or not all(map(_is_place, wanted)):
        raise MalformedError("setBreakpoints needs breakpoints, a list of objects with a line.")
    return source(asked), wanted


def _is_place(place: Any) -> bool:
    return isinstance(place, dict) and isinstance(place.get("line"), int)


def moved(wanted: list[Message], answer: Message) -> list[Message]:
    """Give breakpoints with the lines that debugpy has moved them to."""
    body = answer.get("body")
    told = body.get("breakpoints") if isinstance(body, dict) else None
    if not isinstance(told, list) or len(told) != len(wanted):
        return wanted
    return [
        place | {"line": there["line"]} if _is_place(there) else place
        for place, there in zip(wanted, told, strict=True)
    ]


def no_variable(asked: Message, name: str) -> Message:
    """Answer what a variable looks like that is none; two are groups of debugpy's."""
    body: Message = {"data": {}, "metadata": {}}
    if name in ("special variables", "function variables"):
        return response(asked, body)
    return refusal(asked, f"{name[:100]!r} is no name of a variable.") | {"body": body}


def look(command: str, details: Message) -> str:
    """Make the expression with which the worker looks into itself."""
    text = base64.b64encode(json.dumps([command, details]).encode()).decode()
    return f"{_LOOK}.look({text!r})"


def look_in_frame(name: str) -> str:
    """Make the expression that shows a variable of the frame in which it is evaluated."""
    return f"{_LOOK}.rich({name})"


def arguments(asked: Message) -> Message:
    """Read the arguments of a request."""
    value = asked.get("arguments")
    return value if isinstance(value, dict) else {}


def passed_on(asked: Message, answer: Message) -> Message:
    """Make the response to the client's own request of debugpy's response to ours."""
    passed = {name: value for name, value in answer.items() if not name.startswith("pydevd")}
    return passed | {"request_seq": asked.get("seq", 0), "command": asked["command"]}


def visible(asked: Message, body: Message) -> Message:
    """Answer without the names that IPython adds."""
    variables = body.get("variables")
    if isinstance(variables, list):
        shown = [
            variable for variable in variables
            if isinstance(variable, dict) and not _HIDDEN.fullmatch(str(variable.get("name")))
        ]  # fmt: skip
        body = body | {"variables": shown}
    return response(asked, body)


def looked_at(asked: Message, answer: Message) -> Message:
    """Read what ``worker.inspection`` has put into the result of an ``evaluate``."""
    body = answer.get("body")
    result = body.get("result") if isinstance(body, dict) else None
    if not answer.get("success") or not isinstance(result, str):
        return refusal(asked, str(answer.get("message") or NO_LOOK))
    try:
        content = json.loads(base64.b64decode(result.strip("'\""), validate=True))
    except ValueError:
        return refusal(asked, NO_LOOK)
    if not isinstance(content, dict):
        return refusal(asked, NO_LOOK)
    if "error" in content:
        return refusal(asked, str(content["error"]))
    return visible(asked, content)
