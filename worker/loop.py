"""The loop of a shell: one request after another, each ended by its DONE.

The asyncio loop of its thread runs while a request is handled and while the next one is waited
for, so that tasks of earlier cells go on between cells. DONE is the last record of its request:
after every hook, every output, and what the C library held back (race 3).
"""

from __future__ import annotations

import os
import struct
import time
import traceback
from contextvars import copy_context
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from ..shared.ledger import Slot
from ..shared.records import Kind
from ..shared.tuples import NamedTuple
from . import jsons
from .asides import Asides
from .context import Request
from .handlers import describe, field
from .here import here
from .running import RAISED
from .stacks import fragile

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from .channel import Sender
    from .context import Current
    from .costs import Meter
    from .interrupts import Interrupts
    from .receiver import Receiver
    from .running import Running
    from .shell import ZMQInteractiveShell

    Handler = Callable[[Request], Awaitable[dict[str, Any]]]
    CommHandler = Callable[[Request], None]

_SAVE_AFTER = 0.2
"""Seconds of quiet after which history is written to its file."""


class Noted(Protocol):
    """What numbers are noted in: the ledger, or something that nobody reads."""

    def __setitem__(self, slot: Slot, value: int, /) -> None: ...


class Parts(NamedTuple):
    """What all shells of a worker work with."""

    sender: Sender
    current: Current
    shell: ZMQInteractiveShell
    handlers: dict[str, Handler]
    comm_handlers: dict[str, CommHandler]


class Loop:
    """Take requests and answer them, until the supervisor closes its end.

    One for each shell, made by the thread that runs it. What is only the main shell's is in
    ``MainLoop``.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        receiver: Receiver,
        running: Running,
        parts: Parts,
        *,
        hold: Callable[..., None],
        ledger: Noted,
        meter: Meter | None,
    ) -> None:
        """Take what is this shell's own, and what all have.

        ``hold`` says what is about to be followed by more; ENDED is noted in ``ledger``.
        """
        self._loop = loop
        self._receiver = receiver
        self._running = running
        self._sender, self._current, self._shell, self._handlers, self._comm_handlers = parts
        self._hold = hold
        self._ledger = ledger
        self._meter = meter
        self._is_main = False
        self._waits = False  # for a request; ``running.waiting``, also for a cancelled cell to end
        # Context variables that a cell sets are there in the next one, as in a module.
        self._context = copy_context()
        self._asides = Asides(
            loop, receiver, self._sender, self._current, self._shell, self._comm_handlers
        )
        here.running, here.receiver = running, receiver

    def run(self) -> None:
        """Serve requests."""
        while (request := self._next()) is not None:
            self._serve(request)

    def _next(self) -> Request | None:
        """Wait for a request while background tasks go on; None once there will be none."""
        receiver, loop = self._receiver, self._loop
        self._asides.give_back()
        while not self._is_over():
            record = receiver.take()
            if record is not None and record.kind is Kind.REQUEST:
                if self._precede():
                    continue
                return Request.from_record(record)
            if receiver.ended:
                return None
            if record is not None:
                if record.kind is Kind.ASIDE:
                    self._asides.give_back(record)
                continue  # or an input_reply that came too late
            if self._idle():
                continue
            self._stop_when_due()
            loop.add_reader(receiver.fileno(), loop.stop)
            self._waits = self._running.waiting = True
            try:
                loop.run_forever()
            except BaseException:  # noqa: BLE001 - a background task's SystemExit ends the task only
                traceback.print_exc()
            finally:
                self._end_if_forked()
                self._waits = self._running.waiting = False
                loop.remove_reader(receiver.fileno())
        return None

    def _serve(self, request: Request) -> None:
        shell, number = self._shell, request.number
        is_cell = request.msg_type == "execute_request"
        meter = self._meter if is_cell else None
        self._current.begin(request, newest=self._is_main)
        self._context.run(self._current.enter, request)
        started = datetime.now(UTC).isoformat()
        count = shell.counter.begin() if is_cell else shell.execution_count
        # A cell shows its code at once, which goes in the same breath. All others may take a while.
        begin = self._hold if is_cell else self._sender.send
        begin(Kind.BEGIN, number, str(count).encode(), self._stale())
        failure: BaseException | None = None
        # Before the handler begins: an interrupt may keep it from that.
        here.last_error = None
        if meter is not None:
            meter.begin(number, count)
        shell.allocation.hold()
        try:
            content, encoded = self._running.call(number, self._answer(request), self._context)
        except BaseException as error:  # noqa: BLE001 - an interrupt outside of the user's code, or worse
            failure = error
        self._asides.end()  # it may have been interrupted before it came to that
        self._end_if_forked()
        shell.allocation.lift()
        self._running.finish()
        if is_cell:
            shell.counter.end(count)
        if failure is not None:
            content = self._failed(request, failure, count)
            encoded = jsons.dumps(content)
        abort = content.get("status") == "error" and _stops_queue(request)
        metadata = {"started": started, "status": content.get("status", "ok")}
        if meter is not None:
            ok = content.get("status") == "ok"
            metadata["resources"] = meter.end(ok=ok).as_json()
        is_request = request.msg_type.endswith("_request")
        self._ledger[Slot.ENDED] = number
        self._sender.send(
            Kind.DONE,
            number,
            str(shell.counter.upcoming()).encode(),
            b"1" if abort else b"0",
            request.msg_type.removesuffix("_request").encode() + b"_reply" if is_request else b"",
            encoded,
            jsons.dumps(metadata),
        )
        self._rest(request)

    def _is_over(self) -> bool:
        """Tell whether no more requests are to be taken."""
        return self._shell.exit_now

    def _precede(self) -> bool:
        """Do what comes before the request that is there; tell if it is nobody's any more."""
        return False

    def _idle(self) -> bool:
        """Do what is due now that nothing is asked for; tell if there was something."""
        return False

    def _stop_when_due(self) -> None:
        """Let the loop, which is about to wait, stop when something is due, if anything will be."""

    def _rest(self, request: Request) -> None:
        """See to what waits until a request is over."""

    def _end_if_forked(self) -> None:
        """End a child that the user's code forked and that has come back from it.

        It is no second worker (G38), and must not touch what it shares with the worker.
        """
        if not self._sender.is_ours():
            self._sender.flush()
            os._exit(0)

    async def _answer(self, request: Request) -> tuple[dict[str, Any], bytes]:
        """Handle a request; give the content of the reply, also encoded.

        Objects of the user's in payloads and user_expressions have their say in the encoding, so it
        belongs to what can fail and can be interrupted.
        """
        if request.msg_type == "execute_request":
            self._asides.begin()
        try:
            content = await self._handle(request)
        finally:
            self._asides.end()
        return content, jsons.dumps(content)

    async def _handle(self, request: Request) -> dict[str, Any]:
        if (comm_handler := self._comm_handlers.get(request.msg_type)) is not None:
            comm_handler(request)
            return {}
        handler = self._handlers.get(request.msg_type)
        if handler is None:
            raise ValueError(f"this kernel knows no {request.msg_type!r}")
        return await handler(request)

    def _failed(self, request: Request, error: BaseException, count: int) -> dict[str, Any]:
        """Tell what a handler raised: a malformed request, an interrupt, a fault of ours."""
        shell = self._shell
        content: dict[str, Any] = {"status": "error", **describe(error)}
        if request.msg_type != "execute_request":
            lines = traceback.format_exception_only(error)
            # An interrupt was asked for: whoever shuts a kernel down interrupts it first.
            level = "info" if isinstance(error, KeyboardInterrupt) else "warning"
            self._log(level, f"{request.msg_type} failed: {''.join(lines).strip()}")
            return content
        told = here.last_error if isinstance(error, RAISED) else None
        if told is None:
            lines = traceback.format_exception_only(error)
            told = {**describe(error), "traceback": [line.rstrip("\n") for line in lines]}
            shell.publisher.publish("error", told)
        cell = {"execution_count": count, "user_expressions": {}, "payload": []}
        return content | told | cell

    def _stale(self) -> bytes:
        """Name the requests that nothing here can name any more."""
        numbers = self._current.take_forgotten()
        return struct.pack(f"<{len(numbers)}Q", *numbers)

    def _log(self, level: str, text: str) -> None:
        self._shell.publisher.log(level, text)


class MainLoop(Loop):
    """The main thread's: it says hello, and what it runs is measured and known to all."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        receiver: Receiver,
        interrupts: Interrupts,
        parts: Parts,
        ledger: Noted,
        meter: Meter | None,
        settle: Callable[[], None],
    ) -> None:
        """Take the parts of a loop, and what is to be called before each request."""
        super().__init__(
            loop, receiver, interrupts, parts,
            hold=parts.sender.hold, ledger=ledger, meter=meter,
        )  # fmt: skip
        self._is_main = True
        self._settle = settle
        self._snapshots = parts.shell.snapshots
        # Timers are left to ring, and set again if it was too early: else each request would have
        # two of them made and cancelled.
        self._alarm: asyncio.TimerHandle | None = None
        self._save: asyncio.TimerHandle | None = None
        self._quiet_since = 0.0

    def run(self) -> None:
        """Say hello, then serve requests."""
        self._sender.send(Kind.HELLO, 0)
        super().run()
        if self._shell.exit_now:
            self._sender.send(Kind.LEAVING, 0)

    def look(self) -> None:
        """See to what a subshell's request has left.

        There is history to save, variables have changed, or the user leaves.
        """
        self._save_soon()
        if (self._is_over() or self._snapshots.budget.wanted) and self._waits:
            self._loop.stop()

    def _serve(self, request: Request) -> None:
        self._settle()
        super()._serve(request)

    # Snapshots are made of a process in which nothing else is going on.

    def _precede(self) -> bool:
        # Afterwards this may be another process, and the request the dead one's.
        return self._snapshots.is_due_in_queue() and self._snapshots.take()

    def _idle(self) -> bool:
        due = self._snapshots.is_due(time.monotonic())
        if due:
            self._snapshots.take()
        return due

    def _stop_when_due(self) -> None:
        wait = self._snapshots.wait(time.monotonic())
        if wait is None:
            return
        now = self._loop.time()
        due = now + wait
        # One that is past was kept from ringing: a signal handler has raised on top of it.
        if self._alarm is not None and not now < self._alarm.when() <= due:
            self._alarm.cancel()
            self._alarm = None
        if self._alarm is None:
            self._alarm = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._waits:
            self._loop.stop()

    def _rest(self, request: Request) -> None:
        self._snapshots.over(request, time.monotonic())
        self._save_soon()

    def _save_soon(self) -> None:
        self._quiet_since = now = self._loop.time()
        if self._save is not None and self._save.when() <= now:  # as above
            self._save.cancel()
            self._save = None
        if self._save is None:
            self._save = self._loop.call_later(_SAVE_AFTER, self._save_if_quiet)

    def _save_if_quiet(self) -> None:
        due = self._quiet_since + _SAVE_AFTER
        if self._loop.time() < due:
            self._save = self._loop.call_at(due, self._save_if_quiet)
        else:
            self._save = None
            self._shell.history_manager.save()


# As in ``handlers``: they make coroutines, and await them.
for _caller in (Loop._answer, Loop._handle):  # noqa: SLF001
    fragile(_caller)


def _stops_queue(request: Request) -> bool:
    if request.msg_type != "execute_request":
        return False
    try:
        return field(request, "stop_on_error", bool, default=True)
    except ValueError:
        return True
