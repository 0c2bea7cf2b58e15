"""The lives of workers: what the table says is to be done about them, done. Control's hands.

One method for each thing that is to be done; what follows from what stands in ``lifecycle``.
"""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING

from ..shared.ledger import Slot
from . import crash_log, events, pipes
from .errors import MalformedMessageError, WorkerStartError
from .interruption import Interruption
from .lifecycle import MAX_STILLBORN, Do, Event, Lifecycle, State
from .patience import Patience
from .post_mortem import RESTARTED, STOPPED, Ended, Facts, Report, exit_status, gave_up, report
from .recovery import Recovery
from .recovery_words import Outcome
from .wire import dumps
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    import zmq

    from .deadlines import Deadlines
    from .debugging import Debugging
    from .events import Request, ToControl, Worker
    from .inboxes import Inboxes
    from .pipes import Ends
    from .policy import Policy
    from .tally import Tally
    from .timers import Timers
    from .zygote import Zygote

log = logging.getLogger(__name__)


class Lives:
    """The worker of the moment, and how one follows the other. Used by the main thread alone."""

    def __init__(
        self,
        inboxes: Inboxes,
        zygote: Zygote,
        policy: Policy,
        deadlines: Deadlines,
        debugger: Debugging,
        tally: Tally,
        poller: zmq.Poller,
        timers: Timers,
    ) -> None:
        self._to_iopub = inboxes.iopub
        self._to_shell = inboxes.shell
        self._zygote = zygote
        self._policy = policy
        self._deadlines = deadlines
        self._debugger = debugger
        self._tally = tally
        self._poller = poller
        self._timers = timers
        self.exit_status = 0
        """The status with which the supervisor is to end."""
        self.life = Lifecycle()
        self.process: WorkerProcess | None = None
        self.interruption: Interruption | None = None
        """The interrupts of that process."""
        self.recovery = Recovery(zygote, poller, timers)
        self._facts = Facts()  # of the newest death
        self._told = STOPPED  # ... and how it was told
        self._count = 1  # the execution_count of the cell after it
        self._worked = False  # it was of a worker that had run a cell well
        self._asked: list[tuple[Request, bool]] = []  # to end, and whether for a restart
        self._patience = Patience(timers, lambda: self.process)

    def take(self, event: Event) -> None:
        """Let something happen, and do what follows. Raises LifecycleError if it cannot be."""
        self._do(self.life.take(event))

    def hear(self, event: ToControl) -> bool:
        """Take what the other threads say of a worker; tell if it was that."""
        match event:
            case events.Hello(generation):
                if generation == self.life.generation:
                    self.take(Event.HELLO)
            case events.Leaving(generation):
                self.recovery.drop()  # whoever leaves wants to begin anew
                self._see_off(generation)
            case events.Drained(_, count):
                self._count = count
                self.take(Event.END)
            case events.Stock(generation, queued):
                self._to_iopub.put(events.Died(generation, self._facts._replace(queued=queued)))
            case events.Buried(_, told):
                self._buried(told)
            case events.Misbehaved():
                self._misbehaved(event)
            case events.MemoryShort():
                self.recovery.sacrifice()
            case _:
                return False
        return True

    def present(self, generation: int) -> WorkerProcess | None:
        """Give the worker of this generation, if it is the present one."""
        process = self.process
        return process if process and process.worker.generation == generation else None

    def end(self, request: Request, *, in_place: bool) -> None:
        """End the worker for a client; with it the kernel, unless it begins anew in place."""
        try:
            restart = bool(request.message.parsed_content().get("restart", False))
        except MalformedMessageError:
            restart = False
        self._asked.append((request, restart))
        self.take(Event.RESTART if restart and in_place else Event.STOP)

    def end_now(self) -> None:
        """End the worker's process group: the supervisor itself is failing (race 46)."""
        if self.process is not None:
            self.process.signal(signal.SIGKILL)

    def _misbehaved(self, event: events.Misbehaved) -> None:
        # A death begins with a closed pipe, too, and is then nobody's doing.
        patience = self._deadlines.closed if event.closed else 0.0
        self._patience.end_after(patience, event.generation, "KernelMisbehaved", event.why)

    def _do(self, do: Do) -> None:
        match do:
            case Do.SPAWN:
                self._spawn()
            case Do.OFFER:
                assert self.process is not None
                self._to_shell.put(self.process.offer())
            case Do.BURY:
                self._bury()
            case Do.WAKE:
                self._wake()
            case Do.CANCEL:
                self.recovery.cancel()
            case Do.TELL:
                self._to_shell.put(events.TakeStock(self.life.generation))
            case Do.RESTART:
                self.take(Event.START)
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
        generation = self.life.generation
        if (ready := self.recovery.take_successor()) is not None:
            pidfd = os.pidfd_open(ready.pid)
            self._begin(pipes.attach(ready.ends, generation, ready.pid, pidfd), ready.ends)
        else:
            self._zygote.start(generation)

        def too_late() -> None:
            if self.life.state is State.STARTING and self.life.generation == generation:
                seconds = self._deadlines.hello
                why = f"The interpreter was not ready {seconds:g} s after it was started."
                if self.process is None:
                    raise WorkerStartError("the zygote has not started a worker; is it stopped?")
                self._patience.end_after(0, generation, "KernelStuck", why)

        self._timers.after(self._deadlines.hello, too_late)

    def started(self) -> None:
        """Take the worker that the zygote has started."""
        if self.life.state is not State.STARTING or self.process is not None:
            raise WorkerStartError("the zygote has ended; no worker can be started any more")
        try:
            worker, ends = self._zygote.started()
        except OSError as error:
            self._stillborn(f"No process could be had for the interpreter: {error.strerror}.")
            return
        self._begin(worker, ends)

    def _begin(self, worker: Worker, ends: Ends) -> None:
        self.process = process = WorkerProcess(worker, ends.crash)
        self.recovery.attach(worker.pid, ends.parking)
        self.interruption = Interruption(
            process, self._timers, self._policy, self._to_iopub, self.recovery.standing
        )
        self._to_iopub.put(events.Attach(process.worker))
        if self.life.stopping or self.life.restarting:
            process.end("KernelStopped", "The kernel is ending.")

    def _stillborn(self, why: str) -> None:
        """Go on from a worker that never was a process."""
        self.life.take(Event.END)
        self._facts = Facts(
            ended=Ended("KernelNotStarted", why),
            stopping=self.life.stopping,
            restarting=self.life.restarting,
            before_hello=True,
        )
        self._buried(report(self._facts))

    def _bury(self) -> None:
        process = self.process
        assert process is not None
        self.process = self.interruption = None
        self._facts = process.bury(
            self._zygote,
            stopping=self.life.stopping,
            restarting=self.life.restarting,
            successor=not self._policy.exit_on_crash,
            limit=self._policy.limits.memory,
        )._replace(cells=self._debugger.prefix)
        self._debugger.died()
        self._tally.bury(process)
        self._worked = bool(process.worker.ledger[Slot.OK])
        self.recovery.leave()
        if self.life.stopping or self.life.restarting or self._policy.exit_on_crash:
            self._do(Do.TELL)
        else:
            self.take(Event.WAKE)

    def _wake(self) -> None:
        """Have a snapshot of the dead worker take its place."""
        self.recovery.wake(
            self._count, worked=self._worked, size=self._facts.peak, told=self._awake
        )

    def _awake(self, outcome: Outcome) -> None:
        if self.life.stopping or self.life.restarting:
            self.recovery.stop()
            outcome = Outcome()
        self._facts = self._facts._replace(outcome=outcome)
        self.take(Event.AWAKE)

    def _buried(self, told: Report) -> None:
        self._told = told
        if not told.expected:
            self._tally.told(told.ename)
            log.warning("%s", told.plain)
            crash_log.write(told, self._facts.pid)
            if self._policy.exit_on_crash:
                self.exit_status = exit_status(told.exitcode)
                self.take(Event.STOP)
        self.take(Event.BURIED)

    def _ask_to_leave(self) -> None:
        """Let the worker end by itself, if it still listens; insist after a while."""
        self._to_shell.put(events.Stop(RESTARTED if self.life.restarting else STOPPED))
        process = self.process
        if process is None:  # not started yet; `started` ends it, if the zygote still answers
            if self.life.stopping:
                deadlines = self._deadlines
                self._timers.after(deadlines.leave + deadlines.term, self._give_up_on_zygote)
            return
        self._to_shell.put(events.Gone(process.worker.generation))  # closes its pipe
        process.ask_to_leave()
        self._patience.insist(
            process.worker.generation, self._deadlines.leave, self._deadlines.term
        )

    def _give_up_on_zygote(self) -> None:
        if self.life.state is State.STARTING and self.process is None:
            self._poller.unregister(self._zygote.fileno())
            self._zygote.kill()
            self._stillborn("The kernel is ending.")

    def _see_off(self, generation: int) -> None:
        """Let a worker end whose user said exit(): a thread of its own may keep it for ever."""
        self._patience.insist(generation, self._deadlines.goodbye, self._deadlines.term)

    def _finish(self) -> None:
        self.recovery.stop()
        self._to_shell.put(events.Stop(STOPPED))
        # By way of Shell: whoever has this reply stops listening, so it is the last one.
        self._to_shell.put(events.Finish(self._answers(), closing=True))

    def _renew(self) -> None:
        """Begin anew, for whoever asked. What was sent before the answer is refused."""
        self.recovery.stop()
        self._to_shell.put(events.Stop(RESTARTED))
        self._to_shell.put(events.Finish(self._answers(), closing=False))
        self.take(Event.START)

    def _answers(self) -> tuple[events.Answer, ...]:
        answers = []
        for request, restart in self._asked:
            content = dumps({"status": "ok", "restart": restart})
            answers.append(events.Answer(request, "shutdown_reply", content, publish=True))
        self._asked.clear()
        return tuple(answers)
