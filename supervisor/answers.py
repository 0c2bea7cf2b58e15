"""What is said of a request that the worker does not answer itself. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .actions import Action, Publish, TellControl, TellShell
from .events import Reply
from .wire import dumps

if TYPE_CHECKING:
    from .events import Request
    from .post_mortem import Costs, Report

BUSY = dumps({"execution_state": "busy"})
IDLE = dumps({"execution_state": "idle"})
FOR_THE_WORKER = frozenset({
    "execute_request", "complete_request", "inspect_request", "is_complete_request",
    "history_request", "comm_open", "comm_msg", "comm_close",
})  # fmt: skip
"""Requests that need the interpreter, and are answered by it."""


def reply_type(msg_type: str) -> str:
    """Name the reply of a request: X_request has an X_reply, comm messages have none."""
    return msg_type.removesuffix("_request") + "_reply" if msg_type.endswith("_request") else ""


def reply(request: Request, msg_type: str, content: bytes) -> TellShell | TellControl:
    """Have a reply sent by the thread that has the right socket."""
    told = Reply(request, msg_type, content)
    return TellShell(told) if request.channel == "shell" else TellControl(told)


def failed(
    request: Request, why: Report, count: int, *, begun: bool, costs: Costs | None = None
) -> list[Action]:
    """Tell a request's failure for want of a worker: error, idle and reply, and busy if need be."""
    msg_type = request.message.msg_type
    if request.channel == "internal":
        told = dumps({"status": "error", "ename": why.ename, "evalue": why.evalue})
        return [TellShell(Reply(request, reply_type(msg_type), told))]
    parent = request.message.header
    actions: list[Action] = [] if begun else [Publish("status", parent, BUSY)]
    error: dict[str, object] = {
        "ename": why.ename, "evalue": why.evalue, "traceback": list(why.lines),
    }  # fmt: skip
    actions.append(Publish("error", parent, dumps(error)))
    actions.append(Publish("status", parent, IDLE))
    content = {"status": "error", **error}
    if msg_type == "execute_request":
        content |= {"execution_count": count, "user_expressions": {}, "payload": []}
    # Whoever gets no reply goes on at the idle, which comes before Shell can look at its queue.
    name = reply_type(msg_type)
    metadata = dumps(costs.metadata()) if costs is not None else b"{}"
    abort = bool(name) and not why.expected
    return [*actions, TellShell(Reply(request, name, dumps(content), metadata, abort=abort))]
