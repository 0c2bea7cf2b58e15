"""The worker as a process: signals to it, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import zmq

from ..shared.ledger import Slot
from ..shared.limits import Why, slot_of
from ..shared.signals import LOOK_SIGNAL, STACK_SIGNAL
from . import memory
from .events import Ready
from .pipes import PIPE_SIZE
from .post_mortem import Costs, Ended, Facts

if TYPE_CHECKING:
    from ..shared.ledger import Ledger
    from .events import Worker
    from .zygote import Reaped, Zygote


class WorkerProcess:
    """One life of the worker, from its start to its burial. Used by the main thread alone."""

    def __init__(self, worker: Worker, crash: int) -> None:
        """Take a worker that was started, and our end of its crash pipe."""
        self.worker = worker
        self._crash = crash
        self._buried = False
        self._offered = False
        # The ledger's copies of these are the worker's to overwrite, if it runs wild.
        self._interrupts = self._looks = 0
        self._ended: Ended | None = None
        self._last_stack = ""
        self._kills = memory.read()

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.worker.generation}, pid {self.worker.pid}>"

    # What it does.

    def is_dead(self) -> bool:
        """Tell whether its process has ended."""
        if self._buried:
            return True
        poller = zmq.Poller()
        poller.register(self.worker.pidfd, zmq.POLLIN)
        return bool(poller.poll(0))

    def running(self) -> int:
        """Give the number of the request that it has and has not ended; 0 if there is none."""
        return self.worker.ledger.running()

    def has_heard(self) -> bool:
        """Tell whether its Python code has heard of every interrupt."""
        return self.worker.ledger[Slot.HANDLED] == self._interrupts

    def has_looked(self) -> bool:
        """Tell whether its Python code has looked at all orders."""
        return self.worker.ledger[Slot.LOOKED] == self._looks

    # What is done to it.

    def offer(self) -> Ready:
        """Let Shell have it, and the end of the pipe on which requests go."""
        self._offered = True
        return Ready(self.worker)

    def interrupt(self, number: int, why: Why = Why.USER) -> None:
        """Interrupt the request of this number, if it still runs when the signal arrives."""
        self.worker.ledger[Slot.WHY] = slot_of(why, number)
        self.worker.ledger[Slot.INTERRUPT] = number
        self._send_interrupt()

    def ask_to_leave(self) -> None:
        """Let it end by itself, interrupting whatever runs."""
        self.worker.ledger[Slot.WHY] = slot_of(Why.USER, 0)
        self.worker.ledger[Slot.LEAVE] = 1
        if self.running():
            self._send_interrupt()

    def _send_interrupt(self) -> None:
        self._interrupts += 1
        self.worker.ledger[Slot.INTERRUPTED_AT] = time.monotonic_ns()
        self.worker.ledger[Slot.INTERRUPTS] = self._interrupts
        self.signal(signal.SIGINT)

    def look(self) -> None:
        """Have it look at the orders that it was sent."""
        self._looks += 1
        self.worker.ledger[Slot.LOOKS] = self._looks
        self.look_again()

    def look_again(self) -> None:
        """Have it look, if it has not heard of that."""
        with suppress(ProcessLookupError):
            os.kill(self.worker.pid, LOOK_SIGNAL)

    def ask_for_stacks(self) -> None:
        """Ask for the Python stacks: C code writes them into the crash pipe, whatever runs."""
        with suppress(ProcessLookupError):
            os.kill(self.worker.pid, STACK_SIGNAL)

    def read_stacks(self) -> str:
        """Read what faulthandler wrote, and remember it for the post-mortem."""
        data = b""
        with suppress(BlockingIOError):
            # No more than a pipe holds: an orphan may go on writing into it.
            while len(data) < PIPE_SIZE and (piece := os.read(self._crash, 1 << 16)):
                data += piece
        self._last_stack = data.decode("utf-8", "replace")
        return self._last_stack

    def end(self, ename: str, why: str) -> None:
        """End it at once; its death is told with this reason, unless it is dead already."""
        if not self.is_dead():
            self._ended = Ended(ename, why)
            self.signal(signal.SIGKILL)

    def signal(self, signum: int) -> None:
        """Signal its process group: itself, and the children that the user's code has started."""
        pid = self.worker.pid
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signum)
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) != pid:  # the user's code has taken it to another group
                os.kill(pid, signum)

    def bury(
        self, zygote: Zygote, *, stopping: bool, restarting: bool, successor: bool, limit: int
    ) -> Facts:
        """Reap it, with what is left of its group; give what is known of its end."""
        # Before reaping: a group whose leader was reaped may be another's.
        self.signal(signal.SIGKILL)
        ended_at = time.time()
        reaped = zygote.reap(self.worker.pid)
        ledger = self.worker.ledger
        earlier = self._last_stack if self._ended else ""
        facts = Facts(
            reaped.exitcode,
            self.worker.pid,
            max(reaped.peak, ledger[Slot.PEAK]),
            stack=self.read_stacks() or earlier,
            ended=self._ended,
            out_of_memory=memory.evidence(self._kills, memory.read()),
            stopping=stopping,
            restarting=restarting,
            successor=successor,
            limit=limit,
            costs=_costs(ledger, reaped, ended_at) if ledger[Slot.CELL] else None,
        )
        self._buried = True
        if not self._offered:
            os.close(self.worker.requests)
            self.worker.to_worker.close()
            self.worker.orders.close()
        os.close(self._crash)
        os.close(self.worker.pidfd)
        return facts


def _costs(ledger: Ledger, reaped: Reaped, ended_at: float) -> Costs:
    """Tell what a cell has used that did not live to tell it.

    User and system time contain those of ended children, which nobody can part any more.
    """
    return Costs(
        began=ledger[Slot.CELL_BEGAN] / 1e9,
        wall=max(0.0, ended_at - ledger[Slot.CELL_BEGAN] / 1e9),
        user=max(0, reaped.user - ledger[Slot.CELL_USER] - ledger[Slot.CELL_CHILDREN]) / 1e6,
        system=max(0, reaped.system - ledger[Slot.CELL_SYSTEM]) / 1e6,
        peak=max(reaped.peak, ledger[Slot.FAMILY_PEAK]),
    )
