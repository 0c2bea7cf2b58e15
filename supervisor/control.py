"""Control: the control socket, and every decision about the worker's life.

It runs in the supervisor's main thread, where Python delivers signals. What it decides follows from
the table in ``lifecycle``; no deadline makes an order.
"""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING, Any

import zmq

from ..shared.ledger import Slot
from . import crash_log, events, multipart, pipes
from .bounds import End, Interrupt
from .debugger import Debugger
from .errors import MalformedMessageError, WorkerStartError
from .events import FOR_THE_WORKER, Request
from .interruption import Interruption
from .kernel_info import kernel_info
from .lifecycle import MAX_STILLBORN, Do, Event, Lifecycle, State
from .patience import Patience
from .post_mortem import RESTARTED, STOPPED, Ended, Facts, Report, exit_status, gave_up, report
from .recovery import Recovery
from .recovery_words import Outcome
from .subshells import ASKED as SUBSHELLS
from .tally import Tally
from .timers import Timers
from .wire import dumps, parse
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from .deadlines import Deadlines
    from .events import ToControl, Worker
    from .inboxes import Inboxes
    from .pipes import Ends
    from .policy import Policy
    from .provisioner import Provisioner
    from .wire import Builder, Message, Signer
    from .zygote import Zygote

log = logging.getLogger(__name__)

AT_ONCE = 64  # messages


class Control:
    """Everything that the main thread needs; ``run`` is its life."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        inboxes: Inboxes,
        signer: Signer,
        builder: Builder,
        zygote: Zygote,
        provisioner: Provisioner,
        parent: int | None,
        policy: Policy,
        deadlines: Deadlines,
    ) -> None:
        self._socket = socket
        self._inbox = inboxes.control
        self._signer = signer
        self._builder = builder
        self._zygote = zygote
        self._provisioner = provisioner
        self._to_iopub = inboxes.iopub
        self._to_shell = inboxes.shell
        self._to_monitor = inboxes.monitor
        self._tally = Tally()
        self._policy = policy
        self._deadlines = deadlines
        self.exit_status = 0
        """The status with which the supervisor is to end."""
        self._life = Lifecycle()
        self._process: WorkerProcess | None = None
        self._interruption: Interruption | None = None  # of that process
        self._facts = Facts()  # of the newest death
        self._told = STOPPED  # ... and how it was told
        self._shutdown: list[tuple[Request, bool]] = []  # who asked, and whether for a restart
        self._timers = Timers()
        self._patience = Patience(self._timers, lambda: self._process)
        self._finished = False
        self._poller = zmq.Poller()
        self._debugger = Debugger(inboxes, self._poller)
        self._recovery = Recovery(zygote, self._poller, self._timers)
        self._count = 1  # the execution_count of the cell after the newest death
        self._worked = False  # ... of a worker that had run a cell well
        self._parent = parent
        for source in (
            socket, inboxes.control.fileno(), zygote.fileno(), provisioner.fileno(), parent
        ):  # fmt: skip
            if source is not None:
                self._poller.register(source, zmq.POLLIN)

    def run(self) -> None:
        """Supervise until the kernel is finished."""
        self._do(self._life.take(Event.START))
        while not self._finished:
            ready = dict(self._poller.poll(self._timers.wait()))
            if self._zygote.fileno() in ready:
                self._started()
            if self._parent is not None and self._parent in ready:
                self._poller.unregister(self._parent)
                self._inbox.put(events.Signalled("the process that started this kernel is gone"))
            self._see_to_provisioner(ready)
            self._hear()
            self._debugger.serve(ready)
            self._recovery.serve(ready)
            if self._socket in ready:
                self._receive()
            self._timers.run()

    def close(self) -> None:
        """Close the socket, after the last reply."""
        self._debugger.close()
        self._socket.close()
        self._provisioner.close()

    def end_worker_now(self) -> None:
        """End the worker's process group: the supervisor itself is failing (race 46)."""
        if self._process is not None:
            self._process.signal(signal.SIGKILL)

    # What happens.

    def _hear(self) -> None:
        for event in self._inbox.drain():
            self._take(event)

    def _take(self, event: ToControl) -> None:
        match event:
            case events.Hello(generation) if generation == self._life.generation:
                self._do(self._life.take(Event.HELLO))
            case events.Leaving(generation):
                self._recovery.drop()  # whoever leaves wants to begin anew
                self._see_off(generation)
            case events.Drained(_, count):
                self._count = count
                self._do(self._life.take(Event.END))
            case events.Stock(generation, queued):
                self._to_iopub.put(events.Died(generation, self._facts._replace(queued=queued)))
            case events.Buried(_, told):
                self._buried(told)
            case events.Misbehaved():
                self._misbehaved(event)
            case events.Ordered(generation):
                if self._process is not None and self._process.worker.generation == generation:
                    self._process.look()
            case events.Overrun(generation, number, verdict):
                self._overrun(generation, number, verdict)
            case _:
                self._take_from_clients(event)

    def _take_from_clients(self, event: ToControl) -> None:
        match event:
            case events.ShutdownAsked(request):
                self._shut_down(request)
            case events.InterruptAsked(request):
                self._interrupt(request.message.subshell)
                self._answer(request, "interrupt_reply", {"status": "ok"})
            case events.InterruptMissed(number):
                if self._process is not None and self._process.running() == number:
                    self._interrupt()
            case events.Signalled(why):
                log.info("ending: %s", why)
                self._do(self._life.take(Event.STOP))
            case events.Reply(request) if request.channel == "internal":
                self._debugger.told(event)
            case events.Reply() if event.msg_type:
                multipart.send(self._socket, self._builder.reply(event))
                if event.msg_type == "shutdown_reply":
                    self._provisioner.tell(event.request.message)
            case events.Outgoing(frames):
                multipart.send(self._socket, frames)
            case events.UsageAsked(answer):
                self._ask_monitor(answer)
            case events.MemoryShort():
                self._recovery.sacrifice()
            case events.Aborted():
                self._tally.aborted()
            case events.Closed():
                self._finished = True
                self._to_monitor.put(event)
            case _:
                pass

    def _misbehaved(self, event: events.Misbehaved) -> None:
        # A death begins with a closed pipe, too, and is then nobody's doing.
        patience = self._deadlines.closed if event.closed else 0.0
        self._patience.end_after(patience, event.generation, "KernelMisbehaved", event.why)

    def _do(self, do: Do) -> None:
        match do:
            case Do.SPAWN:
                self._spawn()
            case Do.OFFER:
                assert self._process is not None
                self._to_shell.put(self._process.offer())
            case Do.BURY:
                self._bury()
            case Do.WAKE:
                self._wake()
            case Do.CANCEL:
                self._recovery.cancel()
            case Do.TELL:
                self._to_shell.put(events.TakeStock(self._life.generation))
            case Do.RESTART:
                self._do(self._life.take(Event.START))
            case Do.GIVE_UP:
                log.error("%s workers died while they started; no more are started", MAX_STILLBORN)
                self._to_shell.put(events.Broken(gave_up(self._told)))
            case Do.RENEW:
                self._renew()
            case Do.END:
                self._ask_to_leave()
            case Do.FINISH:
                self._finish()
            case Do.NOTHING:
                pass

    def _spawn(self) -> None:
        generation = self._life.generation
        if (ready := self._recovery.take_successor()) is not None:
            pidfd = os.pidfd_open(ready.pid)
            self._begin(pipes.attach(ready.ends, generation, ready.pid, pidfd), ready.ends)
        else:
            self._zygote.start(generation)

        def too_late() -> None:
            if self._life.state is State.STARTING and self._life.generation == generation:
                seconds = self._deadlines.hello
                why = f"The interpreter was not ready {seconds:g} s after it was started."
                if self._process is None:
                    raise WorkerStartError("the zygote has not started a worker; is it stopped?")
                self._patience.end_after(0, generation, "KernelStuck", why)

        self._timers.after(self._deadlines.hello, too_late)

    def _started(self) -> None:
        if self._life.state is not State.STARTING or self._process is not None:
            raise WorkerStartError("the zygote has ended; no worker can be started any more")
        try:
            worker, ends = self._zygote.started()
        except OSError as error:
            self._stillborn(f"No process could be had for the interpreter: {error.strerror}.")
            return
        self._begin(worker, ends)

    def _begin(self, worker: Worker, ends: Ends) -> None:
        self._process = process = WorkerProcess(worker, ends.crash)
        self._recovery.attach(worker.pid, ends.parking)
        self._interruption = Interruption(
            process, self._timers, self._policy, self._to_iopub, self._recovery.standing
        )
        self._to_iopub.put(events.Attach(process.worker))
        if self._life.stopping or self._life.restarting:
            process.end("KernelStopped", "The kernel is ending.")

    def _stillborn(self, why: str) -> None:
        """Go on from a worker that never was a process."""
        self._life.take(Event.END)
        self._facts = Facts(
            ended=Ended("KernelNotStarted", why),
            stopping=self._life.stopping,
            restarting=self._life.restarting,
            before_hello=True,
        )
        self._buried(report(self._facts))

    def _bury(self) -> None:
        process = self._process
        assert process is not None
        self._process = self._interruption = None
        self._facts = process.bury(
            self._zygote,
            stopping=self._life.stopping,
            restarting=self._life.restarting,
            successor=not self._policy.exit_on_crash,
            limit=self._policy.limits.memory,
        )._replace(cells=self._debugger.prefix)
        self._debugger.died()
        self._tally.bury(process)
        self._worked = bool(process.worker.ledger[Slot.OK])
        self._recovery.leave()
        if self._life.stopping or self._life.restarting or self._policy.exit_on_crash:
            self._do(Do.TELL)
        else:
            self._do(self._life.take(Event.WAKE))

    def _wake(self) -> None:
        """Have a snapshot of the dead worker take its place."""
        self._recovery.wake(self._count, worked=self._worked, told=self._awake)

    def _awake(self, outcome: Outcome) -> None:
        if self._life.stopping or self._life.restarting:
            self._recovery.stop()
            outcome = Outcome()
        self._facts = self._facts._replace(outcome=outcome)
        self._do(self._life.take(Event.AWAKE))

    def _buried(self, told: Report) -> None:
        self._told = told
        if not told.expected:
            self._tally.told(told.ename)
            log.warning("%s", told.plain)
            crash_log.write(told, self._facts.pid)
            if self._policy.exit_on_crash:
                self.exit_status = exit_status(told.exitcode)
                self._do(self._life.take(Event.STOP))
        self._do(self._life.take(Event.BURIED))

    # Clients.

    def _receive(self) -> None:
        for _ in range(AT_ONCE):  # nobody can starve the timers and the inbox
            if (frames := multipart.receive(self._socket)) is None:
                return
            try:
                self._arrive(parse(frames, self._signer))
            except MalformedMessageError as error:
                log.warning("control: a message was dropped: %s", error)

    def _arrive(self, message: Message) -> None:
        request = Request(0, message, "control")
        match message.msg_type:
            case "kernel_info_request":
                self._answer(
                    request, "kernel_info_reply", kernel_info(subshells=self._policy.subshells)
                )
            case "debug_request":
                self._debugger.asked(request)
            case "interrupt_request":
                self._interrupt(message.subshell)
                self._answer(request, "interrupt_reply", {"status": "ok"})
            case "shutdown_request":
                self._shut_down(request)
            case "usage_request":
                self._tell_usage(request)
            case msg_type if msg_type in SUBSHELLS and self._policy.subshells:
                self._to_shell.put(events.SubshellAsked(request))
            case msg_type if msg_type in FOR_THE_WORKER:
                self._to_shell.put(events.Forwarded(message))
            case msg_type:
                log.info("control: no %r is known here; it gets no reply", msg_type)
                self._to_iopub.put(events.Answer(request, "", b"{}"))

    def _answer(self, request: Request, msg_type: str, content: dict[str, object]) -> None:
        self._to_iopub.put(events.Answer(request, msg_type, dumps(content)))

    # Interrupts.

    def _interrupt(self, subshell: str | None = None) -> None:
        """Interrupt the request that runs now, or nothing (G27).

        The main shell's; those of subshells if it has none; or that of the subshell that is named.
        """
        if self._recovery.interrupt():
            return
        number = self._process.running() if self._process is not None else 0
        if subshell is not None and self._policy.subshells:
            self._to_shell.put(events.Interrupt(subshell))
        elif number and self._interruption is not None:
            self._interruption.interrupt(number)
            self._debugger.let_go()
        else:
            self._to_shell.put(events.Interrupt())

    def _overrun(self, generation: int, number: int, verdict: Interrupt | End) -> None:
        """See to a request that has passed a limit, if it still runs."""
        process = self._process
        if process is None or process.worker.generation != generation:
            return
        if process.running() != number:
            return
        match verdict:
            case Interrupt(why):
                process.interrupt(number, why)
                self._debugger.let_go()
            case End(ename, evalue):
                process.end(ename, evalue)

    # What the kernel uses. No busy and idle: asking is no activity (G36).

    def _tell_usage(self, request: Request) -> None:
        def answer(content: dict[str, Any]) -> None:
            self._inbox.put(events.Reply(request, "usage_reply", dumps(content)))

        self._ask_monitor(answer)

    def _ask_monitor(self, answer: Callable[[dict[str, Any]], None]) -> None:
        status = self._tally.status(self._life, self._process, self._recovery.standing())
        self._to_monitor.put(events.Asked(status, answer))

    # The end.

    def _shut_down(self, request: Request) -> None:
        try:
            restart = bool(request.message.parsed_content().get("restart", False))
        except MalformedMessageError:
            restart = False
        self._shutdown.append((request, restart))
        in_place = restart and self._provisioner.is_there
        self._do(self._life.take(Event.RESTART if in_place else Event.STOP))

    def _ask_to_leave(self) -> None:
        """Let the worker end by itself, if it still listens; insist after a while."""
        self._to_shell.put(events.Stop(RESTARTED if self._life.restarting else STOPPED))
        process = self._process
        if process is None:  # not started yet; `_started` ends it, if the zygote still answers
            if self._life.stopping:
                deadlines = self._deadlines
                self._timers.after(deadlines.leave + deadlines.term, self._give_up_on_zygote)
            return
        self._to_shell.put(events.Gone(process.worker.generation))  # closes its pipe
        process.ask_to_leave()
        self._patience.insist(
            process.worker.generation, self._deadlines.leave, self._deadlines.term
        )

    def _give_up_on_zygote(self) -> None:
        if self._life.state is State.STARTING and self._process is None:
            self._poller.unregister(self._zygote.fileno())
            self._zygote.kill()
            self._stillborn("The kernel is ending.")

    def _see_off(self, generation: int) -> None:
        """Let a worker end whose user said exit(): a thread of its own may keep it for ever."""
        self._patience.insist(generation, self._deadlines.goodbye, self._deadlines.term)

    def _finish(self) -> None:
        self._recovery.stop()
        self._to_shell.put(events.Stop(STOPPED))
        # By way of Shell: whoever has this reply stops listening, so it is the last one.
        self._to_shell.put(events.Finish(self._answers(), closing=True))

    def _renew(self) -> None:
        """Begin anew, for whoever asked. What was sent before the answer is refused."""
        self._recovery.stop()
        self._to_shell.put(events.Stop(RESTARTED))
        self._to_shell.put(events.Finish(self._answers(), closing=False))
        self._do(self._life.take(Event.START))

    def _answers(self) -> tuple[events.Answer, ...]:
        answers = []
        for request, restart in self._shutdown:
            content = dumps({"status": "ok", "restart": restart})
            answers.append(events.Answer(request, "shutdown_reply", content, publish=True))
        self._shutdown.clear()
        return tuple(answers)

    def _see_to_provisioner(self, ready: dict[object, int]) -> None:
        fd = self._provisioner.fileno()
        if fd is not None and fd in ready and self._provisioner.heard():
            log.info("the provisioner is gone; a restart ends this process")
            self._poller.unregister(fd)
