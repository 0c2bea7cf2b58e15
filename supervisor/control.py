"""Control: the control socket, and whatever happens to the kernel as a whole.

It runs in the supervisor's main thread, where Python delivers signals. What becomes of the worker
follows from the table in ``lifecycle``, and is done by ``lives``; no deadline makes an order.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import zmq

from . import events, multipart
from .answers import FOR_THE_WORKER
from .bounds import End, Interrupt
from .debugging import Debugging
from .errors import MalformedMessageError
from .events import Request
from .kernel_info import kernel_info
from .lifecycle import Event
from .lives import Lives
from .subshells import ASKED as SUBSHELLS
from .tally import Tally
from .timers import Timers
from .wire import dumps, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from .deadlines import Deadlines
    from .events import ToControl
    from .inboxes import Inboxes
    from .policy import Policy
    from .provisioner import Provisioner
    from .wire import Builder, Message, Signer
    from .zygote import Zygote

log = logging.getLogger(__name__)

AT_ONCE = 64  # messages
_LOOK_AGAIN = (0.05, 0.2, 1.0, 5.0)
"""Seconds until a worker that has not heard of its orders is told once more, and from then to the
next time. After the last it is in C code that does not return, and hears when it does."""


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
        self._timers = Timers()
        self._finished = False
        self._poller = zmq.Poller()
        self._debugger = Debugging(inboxes, self._poller)
        self._lives = Lives(
            inboxes, zygote, policy, deadlines, self._debugger, self._tally, self._poller,
            self._timers,
        )  # fmt: skip
        self._parent = parent
        for source in (
            socket, inboxes.control.fileno(), zygote.fileno(), provisioner.fileno(), parent
        ):  # fmt: skip
            if source is not None:
                self._poller.register(source, zmq.POLLIN)

    def run(self) -> None:
        """Supervise until the kernel is finished."""
        self._lives.take(Event.START)
        while not self._finished:
            ready = dict(self._poller.poll(self._timers.wait()))
            if self._zygote.fileno() in ready:
                self._lives.started()
            if self._parent is not None and self._parent in ready:
                self._poller.unregister(self._parent)
                self._inbox.put(events.Signalled("the process that started this kernel is gone"))
            self._see_to_provisioner(ready)
            self._hear()
            self._debugger.serve(ready)
            self._lives.recovery.serve(ready)
            if self._socket in ready:
                self._receive()
            self._timers.run()

    @property
    def exit_status(self) -> int:
        """The status with which the supervisor is to end."""
        return self._lives.exit_status

    def close(self) -> None:
        """Close the socket, after the last reply."""
        self._debugger.close()
        self._socket.close()
        self._provisioner.close()

    def end_worker_now(self) -> None:
        """End the worker's process group: the supervisor itself is failing (race 46)."""
        self._lives.end_now()

    # What happens.

    def _hear(self) -> None:
        for event in self._inbox.drain():
            self._take(event)

    def _take(self, event: ToControl) -> None:
        if self._lives.hear(event):
            return
        match event:
            case events.Ordered(generation):
                if (process := self._lives.present(generation)) is not None:
                    process.look()
                    self._timers.after(_LOOK_AGAIN[0], lambda: self._insist(generation))
            case events.Overrun(generation, number, verdict):
                self._overrun(generation, number, verdict)
            case _:
                self._take_from_clients(event)

    def _insist(self, generation: int, times: int = 1) -> None:
        """Have a worker look at its orders again, if it has not heard (see ``orders``)."""
        process = self._lives.present(generation)
        if process is None or process.has_looked():
            return
        process.look_again()
        if times < len(_LOOK_AGAIN):
            self._timers.after(_LOOK_AGAIN[times], lambda: self._insist(generation, times + 1))

    def _take_from_clients(self, event: ToControl) -> None:
        match event:
            case events.ShutdownAsked(request):
                self._shut_down(request)
            case events.InterruptAsked(request):
                self._interrupt(request.message.subshell, request.number)
                self._answer(request, "interrupt_reply", {"status": "ok"})
            case events.InterruptMissed(number):
                if self._running() == number:
                    self._interrupt()
            case events.Signalled(why):
                log.info("ending: %s", why)
                self._lives.take(Event.STOP)
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
            case events.Aborted():
                self._tally.aborted()
            case events.Closed():
                self._finished = True
                self._to_monitor.put(event)
            case _:
                pass

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

    def _interrupt(self, subshell: str | None = None, before: float = events.ANY) -> None:
        """Interrupt the request that runs now, or nothing (G27).

        The main shell's; those of subshells if it has none; or that of the subshell that is named.
        Only a request whose number is less than ``before`` is meant.
        """
        if self._lives.recovery.interrupt():
            return
        number = self._running()
        if subshell is not None and self._policy.subshells:
            self._to_shell.put(events.Interrupt(subshell, before))
        elif not number or self._lives.interruption is None:
            self._to_shell.put(events.Interrupt(None, before))
        elif number < before:
            self._lives.interruption.interrupt(number)
            self._debugger.let_go()

    def _running(self) -> int:
        """Give the number of the request that the main shell runs, or 0."""
        process = self._lives.process
        return process.running() if process is not None else 0

    def _overrun(self, generation: int, number: int, verdict: Interrupt | End) -> None:
        """See to a request that has passed a limit, if it still runs."""
        process = self._lives.present(generation)
        if process is None or process.running() != number:
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
        lives = self._lives
        status = self._tally.status(lives.life, lives.process, lives.recovery.standing())
        self._to_monitor.put(events.Asked(status, answer))

    # The end.

    def _shut_down(self, request: Request) -> None:
        self._lives.end(request, in_place=self._provisioner.is_there)

    def _see_to_provisioner(self, ready: dict[object, int]) -> None:
        fd = self._provisioner.fileno()
        if fd is not None and fd in ready and self._provisioner.heard():
            log.info("the provisioner is gone; a restart ends this process")
            self._poller.unregister(fd)
