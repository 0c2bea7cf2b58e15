"""Comm messages that a cell takes while it awaits something.

A cell may await what a client has yet to say: the value of a slider, the answer of a widget. A
client that knows subshells says it to another shell; for all others the supervisor offers comm
messages to the shell that is busy. They are taken only while its event loop runs, which means that
the cell waits, each with a pair of busy and idle of its own inside of the cell's. What was not
taken when the cell is over goes back, and comes again in its turn.
"""

from __future__ import annotations

import os
import traceback
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING

from ..shared.records import Kind
from .context import Request
from .here import here
from .stacks import calls_back

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ..shared.records import Record
    from .channel import Sender
    from .context import Current
    from .receiver import Receiver
    from .shell import ZMQInteractiveShell

    CommHandler = Callable[[Request], None]


class Asides:
    """Those of one shell, used by its thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        receiver: Receiver,
        sender: Sender,
        current: Current,
        shell: ZMQInteractiveShell,
        handlers: dict[str, CommHandler],
    ) -> None:
        self._loop = loop
        self._receiver = receiver
        self._sender = sender
        self._current = current
        self._shell = shell
        self._handlers = handlers
        self._waiting: deque[Record] = deque()  # that came while the cell waited for an answer
        self._open = self._listening = False
        receiver.put_aside = self._put

    def begin(self) -> None:
        """Take some from when the running cell, which calls this, awaits something."""
        self._open = True
        self._loop.call_soon(self._listen)

    def _listen(self) -> None:
        # Most cells are over by now. And a child that a cell forks shares what is watched here.
        if self._open:
            self._loop.add_reader(self._receiver.fileno(), self._take)
            self._listening = True

    def end(self) -> None:
        """Take no more: the cell is over."""
        self._open = False
        if self._listening:
            self._loop.remove_reader(self._receiver.fileno())
            self._listening = False

    def give_back(self, *records: Record) -> None:
        """Return what the cell has not taken, and these."""
        for record in (*self._waiting, *records):
            self._sender.send(Kind.RETURNED, record.number)
        self._waiting.clear()

    def _put(self, record: Record) -> None:
        self._waiting.append(record)
        self._loop.call_soon(self._take)

    def _take(self) -> None:
        """Take what has come. The loop calls this, so the cell waits."""
        if not self._open or not self._sender.is_ours():
            return
        while (record := self._next()) is not None:
            if record.kind is Kind.ASIDE:
                copy_context().run(self._serve, Request.from_record(record))
        if self._receiver.ended and self._listening:
            self._loop.remove_reader(self._receiver.fileno())  # it would be called for ever
            self._listening = False

    def _next(self) -> Record | None:
        return self._waiting.popleft() if self._waiting else self._receiver.take()

    def _serve(self, request: Request) -> None:
        """Handle one, with a pair of its own. An interrupt in it is also the cell's."""
        count = str(self._shell.counter.upcoming()).encode()
        self._current.begin(request, newest=False)
        before = here.can_ask, here.last_error, here.display_failed, here.showing
        here.can_ask = here.display_failed = here.showing = False
        failure: BaseException | None = None
        try:
            self._sender.send(Kind.BEGIN, request.number, count, b"")
            self._call(request)
        except BaseException as error:  # noqa: BLE001 - an interrupt, or the user's SystemExit
            failure = error
        here.can_ask, here.last_error, here.display_failed, here.showing = before
        if not self._sender.is_ours():  # the handler forked, and this is the child
            self._sender.flush()
            os._exit(0)
        self._sender.send(Kind.DONE, request.number, count, b"0", b"", b"{}", b"{}")
        if isinstance(failure, KeyboardInterrupt):
            raise failure
        if failure is not None:
            told = "".join(traceback.format_exception_only(failure)).strip()
            self._shell.publisher.log("warning", f"{request.msg_type} failed: {told}")

    @calls_back
    def _call(self, request: Request) -> None:
        self._handlers[request.msg_type](request)
