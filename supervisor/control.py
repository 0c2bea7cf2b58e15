"""Control: the control socket, and every decision about the worker's life.

It runs in the supervisor's main thread, where Python delivers signals. What it decides follows from
the table in ``lifecycle``; deadlines are named here, and none of them makes an order.
"""

from __future__ import annotations

import heapq
import logging
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import zmq

from ..shared.ledger import Slot
from ..shared.signals import STACK_SIGNAL
from . import crash_log, events, memory
from .errors import MalformedMessageError, WorkerStartError
from .events import FOR_THE_WORKER, Request
from .kernel_info import kernel_info
from .lifecycle import MAX_STILLBORN, Do, Event, Lifecycle, State
from .post_mortem import STOPPED, Ended, Facts, Report, gave_up, where_stuck
from .wire import dumps, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..shared.ledger import Ledger
    from .events import ToControl, ToIOPub, ToShell, Worker
    from .inbox import Inbox
    from .policy import Policy
    from .wire import Builder, Message, Signer
    from .zygote import Zygote

log = logging.getLogger(__name__)

EXIT_CRASHED = 70  # where the worker's own exit code was 0


@dataclass(frozen=True)
class Deadlines:
    """How long Control waits for a worker, in seconds."""

    hello: float = 60.0
    """From the order for a worker to its hello: start-up files may take a while."""
    closed: float = 1.0
    """From the end of a worker's pipe to the end of its process."""
    stacks: float = 0.05
    """From the first line of the stacks that a worker writes to their end, which nothing marks."""
    leave: float = 0.7
    """From the request to leave to SIGTERM: time for exit handlers."""
    term: float = 0.4
    """From SIGTERM to SIGKILL."""


class Control:
    """Everything that the main thread needs; ``run`` is its life."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        inbox: Inbox[ToControl],
        signer: Signer,
        builder: Builder,
        zygote: Zygote,
        to_iopub: Inbox[ToIOPub],
        to_shell: Inbox[ToShell],
        parent: int | None,
        policy: Policy,
        deadlines: Deadlines,
    ) -> None:
        self._socket = socket
        self._inbox = inbox
        self._signer = signer
        self._builder = builder
        self._zygote = zygote
        self._to_iopub = to_iopub
        self._to_shell = to_shell
        self._policy = policy
        self._deadlines = deadlines
        self.exit_status = 0
        """The status with which the supervisor is to end."""
        self._life = Lifecycle()
        self._worker: Worker | None = None
        self._crash = -1
        self._kills = memory.Kills(-1, -1)  # when the worker was started
        self._ended: Ended | None = None  # why we ended the worker ourselves
        self._facts = Facts()  # of the newest death
        self._told = STOPPED  # ... and how it was told
        self._last_stack = ""  # where the worker was when it was asked
        self._pending = 0, 0  # generation and number of the newest request that was interrupted
        self._stuck = 0, 0  # generation and number of the request that did not hear an interrupt
        self._shutdown: list[tuple[Request, bool]] = []  # who asked, and whether for a restart
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_numbers = count()
        self._finished = False
        self._poller = zmq.Poller()
        self._parent = parent
        for source in (socket, inbox.fileno(), zygote.fileno(), parent):
            if source is not None:
                self._poller.register(source, zmq.POLLIN)

    def run(self) -> None:
        """Supervise until the kernel is finished."""
        self._do(self._life.take(Event.START))
        while not self._finished:
            ready = dict(self._poller.poll(self._wait()))
            if self._zygote.fileno() in ready:
                self._started()
            if self._crash in ready:
                self._poller.unregister(self._crash)
                self._after(self._deadlines.stacks, self._tell_where_stuck)
            if self._parent is not None and self._parent in ready:
                self._poller.unregister(self._parent)
                self._inbox.put(events.Signalled("the process that started this kernel is gone"))
            self._hear()
            if self._socket in ready:
                self._receive()
            self._run_timers()

    def close(self) -> None:
        """Close the socket, after the last reply."""
        self._socket.close()

    def end_worker_now(self) -> None:
        """End the worker's process group: the supervisor itself is failing (race 46)."""
        if self._worker is not None:
            _kill_group(self._worker.pid)

    # What happens.

    def _hear(self) -> None:
        for event in self._inbox.drain():
            match event:
                case events.Hello(generation) if generation == self._life.generation:
                    self._do(self._life.take(Event.HELLO))
                case events.Drained():
                    self._do(self._life.take(Event.END))
                case events.Stock(generation, queued):
                    self._to_iopub.put(events.Died(generation, replace(self._facts, queued=queued)))
                case events.Buried(_, told):
                    self._buried(told)
                case events.Misbehaved():
                    self._misbehaved(event)
                case events.ShutdownAsked(request):
                    self._shut_down(request)
                case events.Signalled(why):
                    log.info("ending: %s", why)
                    self._do(self._life.take(Event.STOP))
                case events.Reply():
                    self._reply(event)
                case events.Closed():
                    self._finished = True
                case _:
                    pass

    def _misbehaved(self, event: events.Misbehaved) -> None:
        def end() -> None:
            self._end(event.generation, "KernelMisbehaved", event.why)

        if event.closed:
            # A death begins like this, too, and is nobody's doing.
            self._after(self._deadlines.closed, end)
        else:
            end()

    def _do(self, do: Do) -> None:
        match do:
            case Do.SPAWN:
                self._spawn()
            case Do.OFFER:
                assert self._worker is not None
                self._to_shell.put(events.Ready(self._worker))
            case Do.BURY:
                self._bury()
            case Do.RESTART:
                self._do(self._life.take(Event.START))
            case Do.GIVE_UP:
                log.error("%s workers died while they started; no more are started", MAX_STILLBORN)
                self._to_shell.put(events.Broken(gave_up(self._told)))
            case Do.END:
                self._ask_to_leave()
            case Do.FINISH:
                self._finish()
            case Do.NOTHING:
                pass

    def _spawn(self) -> None:
        generation = self._life.generation
        self._zygote.start(generation)

        def too_late() -> None:
            if self._life.state is State.STARTING:
                seconds = self._deadlines.hello
                why = f"The interpreter was not ready {seconds:g} s after it was started."
                self._end(generation, "KernelStuck", why)

        self._after(self._deadlines.hello, too_late)

    def _started(self) -> None:
        if self._life.state is not State.STARTING or self._worker is not None:
            raise WorkerStartError("the zygote has ended; no worker can be started any more")
        self._worker, self._crash = self._zygote.started()
        self._poller.register(self._crash, zmq.POLLIN)
        self._kills = memory.read()
        self._to_iopub.put(events.Attach(self._worker))
        if self._life.stopping:
            self._end(self._worker.generation, "KernelStopped", "The kernel is ending.")

    def _bury(self) -> None:
        """Reap the dead worker and collect what is known of its end; its group goes with it."""
        worker = self._worker
        assert worker is not None
        _kill_group(worker.pid)  # before reaping: a group whose leader was reaped may be another's
        exitcode, peak = self._zygote.reap(worker.pid)
        self._facts = Facts(
            exitcode,
            worker.pid,
            peak,
            stack=self._read_crash() or (self._last_stack if self._ended else ""),
            ended=self._ended,
            out_of_memory=memory.evidence(self._kills, memory.read()),
            stopping=self._life.stopping,
            successor=not self._policy.exit_on_crash,
        )
        if self._crash in self._poller:
            self._poller.unregister(self._crash)
        os.close(self._crash)
        os.close(worker.pidfd)
        self._worker, self._ended, self._crash, self._last_stack = None, None, -1, ""
        self._to_shell.put(events.TakeStock(worker.generation))

    def _buried(self, told: Report) -> None:
        self._told = told
        if not told.expected:
            log.warning("%s", told.plain)
            crash_log.write(told, self._facts.pid)
            if self._policy.exit_on_crash:
                self.exit_status = _exit_status(told.exitcode)
                self._do(self._life.take(Event.STOP))
        self._do(self._life.take(Event.BURIED))

    def _end(self, generation: int, ename: str, why: str) -> None:
        """End a worker at once; its death is told with this reason."""
        worker = self._worker
        if worker is not None and worker.generation == generation and not _is_dead(worker.pidfd):
            self._ended = Ended(ename, why)
            _kill_group(worker.pid)

    def _read_crash(self) -> str:
        """Read what faulthandler wrote, if it wrote anything."""
        data = b""
        with suppress(BlockingIOError):
            while piece := os.read(self._crash, 1 << 16):
                data += piece
        return data.decode("utf-8", "replace")

    # Clients.

    def _receive(self) -> None:
        while True:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                self._arrive(parse(frames, self._signer))
            except MalformedMessageError as error:
                log.warning("control: a message was dropped: %s", error)

    def _arrive(self, message: Message) -> None:
        request = Request(0, message, "control")
        match message.msg_type:
            case "kernel_info_request":
                self._answer(request, "kernel_info_reply", kernel_info())
            case "interrupt_request":
                self._interrupt()
                self._answer(request, "interrupt_reply", {"status": "ok"})
            case "shutdown_request":
                self._shut_down(request)
            case msg_type if msg_type in FOR_THE_WORKER:
                self._to_shell.put(events.Forwarded(message))
            case msg_type:
                log.info("control: no %r is known here; it gets no reply", msg_type)
                self._to_iopub.put(events.Answer(request, "", b"{}"))

    def _answer(self, request: Request, msg_type: str, content: dict[str, object]) -> None:
        self._to_iopub.put(events.Answer(request, msg_type, dumps(content)))

    def _reply(self, reply: events.Reply) -> None:
        if reply.msg_type:
            self._socket.send_multipart(self._builder.reply(reply))

    # Interrupts.

    def _interrupt(self) -> None:
        """Interrupt the request that runs now, or nothing (G27)."""
        worker = self._worker
        if worker is None or not (number := worker.ledger.running()):
            self._to_shell.put(events.Interrupt())
            return
        ledger = worker.ledger
        if self._stuck == (worker.generation, number) and not _heard(ledger):
            self._give_up_on(worker, number)
            return
        pending = self._pending == (worker.generation, number)  # an earlier one has its timers
        self._pending = worker.generation, number
        ledger[Slot.INTERRUPT] = number
        ledger[Slot.INTERRUPTS] += 1
        _signal_group(worker.pid, signal.SIGINT)
        if not pending:
            policy = self._policy
            self._after(policy.stuck_after, lambda: self._ask_where_stuck(worker, number))
            self._after(policy.kill_after, lambda: self._give_up_on(worker, number))

    def _is_stuck(self, worker: Worker, number: int) -> bool:
        """Tell whether this request still runs, and its Python code has not heard of interrupts."""
        ledger = worker.ledger
        return self._worker is worker and ledger.running() == number and not _heard(ledger)

    def _ask_where_stuck(self, worker: Worker, number: int) -> None:
        """Ask for the Python stacks, which C code of ours writes, whatever the cell runs."""
        if self._is_stuck(worker, number):
            self._stuck = worker.generation, number
            with suppress(ProcessLookupError):
                os.kill(worker.pid, STACK_SIGNAL)

    def _tell_where_stuck(self) -> None:
        worker, (generation, number) = self._worker, self._stuck
        if worker is None or worker.generation != generation or _is_dead(worker.pidfd):
            return  # it is dying: the pipe is read when it is buried
        self._poller.register(self._crash, zmq.POLLIN)
        self._last_stack = self._read_crash()
        text = where_stuck(self._last_stack, self._policy.stuck_after, self._policy.kill_after)
        self._to_iopub.put(events.Remark(number, text))

    def _give_up_on(self, worker: Worker, number: int) -> None:
        if self._is_stuck(worker, number):
            why = (
                "The cell was interrupted, and the native code that it runs did not listen. "
                "The interpreter was ended, as announced."
            )
            self._end(worker.generation, "KernelInterrupted", why)

    # The end.

    def _shut_down(self, request: Request) -> None:
        try:
            restart = bool(request.message.parsed_content().get("restart", False))
        except MalformedMessageError:
            restart = False
        self._shutdown.append((request, restart))
        self._do(self._life.take(Event.STOP))

    def _ask_to_leave(self) -> None:
        """Let the worker end by itself, if it still listens; insist after a while."""
        self._to_shell.put(events.Stop(STOPPED))
        worker = self._worker
        if worker is None:
            return  # not started yet; `_started` ends it
        self._to_shell.put(events.Gone(worker.generation))  # closes its pipe: it leaves when idle
        worker.ledger[Slot.LEAVE] = 1
        if worker.ledger.running():
            worker.ledger[Slot.INTERRUPTS] += 1
            _signal_group(worker.pid, signal.SIGINT)
        leave, term = self._deadlines.leave, self._deadlines.term
        self._after(leave, lambda: self._signal(worker, signal.SIGTERM))
        self._after(leave + term, lambda: self._signal(worker, signal.SIGKILL))

    def _signal(self, worker: Worker, signum: int) -> None:
        """Signal a worker's group, unless it was reaped meanwhile and the number is another's."""
        if self._worker is worker:
            _signal_group(worker.pid, signum)

    def _finish(self) -> None:
        self._to_shell.put(events.Stop(STOPPED))
        for request, restart in self._shutdown:
            content = {"status": "ok", "restart": restart}
            answer = events.Answer(request, "shutdown_reply", dumps(content), publish=True)
            self._to_iopub.put(answer)
        self._to_shell.put(events.Finish())

    # Timers.

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        if seconds == float("inf"):
            return
        entry = time.monotonic() + seconds, next(self._timer_numbers), action
        heapq.heappush(self._timers, entry)

    def _wait(self) -> int | None:
        """Give the milliseconds to the next timer."""
        if not self._timers:
            return None
        return int(max(0.0, self._timers[0][0] - time.monotonic()) * 1000) + 1

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()


def _signal_group(pid: int, signum: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signum)


def _kill_group(pid: int) -> None:
    _signal_group(pid, signal.SIGKILL)


def _heard(ledger: Ledger) -> bool:
    """Tell whether the worker's Python code has heard of every interrupt."""
    return ledger[Slot.HANDLED] == ledger[Slot.INTERRUPTS]


def _exit_status(exitcode: int) -> int:
    """Give the status with which a shell would tell of such an end; never success."""
    return 128 - exitcode if exitcode < 0 else exitcode or EXIT_CRASHED


def _is_dead(pidfd: int) -> bool:
    poller = zmq.Poller()
    poller.register(pidfd, zmq.POLLIN)
    return bool(poller.poll(0))
