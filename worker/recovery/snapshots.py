"""Snapshots, as the worker makes them: between two requests, outside of the event loop.

The forked process is harmless before the worker goes on: until then no code of the user's runs in
either. What it is worth, and why there is none, is told to the supervisor each time.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ...shared import meminfo, parking
from ...shared.parking import Parked, Unable
from ...shared.records import Kind
from .. import forks, jsons
from . import budget, descriptors
from .budget import OFF, ON, PART, Budget
from .children import Children
from .heir import inherit
from .libraries import Libraries
from .parked import SIGNALS, Snapshot, note
from .tax import Tax
from .threads import Found, Threads

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from ..attachment import Attachment
    from ..channel import Sender
    from ..context import Request
    from ..shell import ZMQInteractiveShell

_WATCHDOG = 5.0
"""Seconds after which a snapshot that does not park is given up."""
_CHANGING = frozenset({"execute_request", "comm_open", "comm_msg", "comm_close"})
_LOOKS, _LOOK_AGAIN = 20, 0.0005
"""Looks at busy threads when a snapshot is urgent, and the seconds between them."""
_SPINS = 0.2
"""Seconds in which a library's thread comes to rest that has nothing to do any more."""
_RESTLESS = "a thread was running while the snapshot was made"
_RETRIES = 3
"""Looks at threads that are busy, before their cell is given up."""


class Snapshots:
    """What the worker knows of its snapshots, and makes them."""

    def __init__(
        self,
        fd: int,
        mode: str,
        shell: ZMQInteractiveShell,
        sender: Sender,
        attachment: Attachment,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Take the descriptor on which the supervisor hears of snapshots."""
        self._line = socket.socket(fileno=fd)
        self._shell = shell
        self._sender = sender
        self._attachment = attachment
        self._loop = loop
        self._libraries = Libraries()
        self._threads = Threads(self._libraries)
        self._children = Children()
        self._known = descriptors.known() if sys.platform == "linux" else {}
        self._tax = Tax()
        self._postponed = False
        self._newest = 0  # process id
        self._tries = 0
        self._quiet_since = 0.0
        self.is_urgent = False
        """This process was a snapshot, and has none of its own yet."""
        self.budget = Budget(mode if sys.platform == "linux" else OFF)
        self.after = 0
        """The execution_count of the newest cell that is in a snapshot."""
        self.losses: tuple[str, ...] = ()
        """What would not come back with it."""
        self.why_not = "" if sys.platform == "linux" else "only Linux has what it takes"
        """Why the newest cell is in none."""
        self.donor = ""
        """Why the newest one cannot become the worker, but only give what can be serialized."""
        if sys.platform == "linux":
            self._children.hide()

    @property
    def exists(self) -> bool:
        """Tell whether there is a snapshot now."""
        return bool(self._newest) and self._children.lives(self._newest)

    @property
    def end(self) -> str | None:
        """Tell how the newest one has ended, if there has been one; "" if nobody knows."""
        if not self._newest or self.exists:
            return None
        code = self._children.exit_code(self._newest)
        if code is None:
            return ""
        if code == 0:
            return "its memory was needed"  # the supervisor lets go of it for nothing else
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"it ended with {how}, and it is not known who did that"

    def memory(self) -> int:
        """Give the bytes that the newest one has for itself; 0 if there is none."""
        return meminfo.private(self._newest) if self.exists else 0

    def switch(self, mode: str) -> None:
        """Switch snapshots on or off."""
        self.budget.mode = mode if sys.platform == "linux" else OFF
        self._newest = 0 if mode == OFF else self._newest
        if mode == OFF:
            self._tell(Unable("it was switched off (%recovery off)", self._count(), final=True))
        else:
            self.budget.worked(0.0)

    def inherit(self) -> None:
        """Take over what a snapshot has left that could not live, if this worker is its heir."""
        self.is_urgent = inherit(self._line, self._shell)

    def close(self) -> None:
        """Let go of the supervisor (in a forked child)."""
        self._line.close()
        self._children.forget()

    # When.

    def over(self, request: Request, now: float) -> None:
        """Note that a request is over. A client that looks around unseen changes nothing."""
        self._quiet_since = now
        if request.msg_type in _CHANGING and not _is_silent(request):
            self._tries = 0
            self._postponed = False
            self.budget.worked(now - request.began)

    def touched(self, now: float) -> bool:
        """Note that a subshell's request is over; tell if the main thread does not know yet.

        Called by the thread of the subshell.
        """
        known = self.budget.wanted and not self._postponed
        self._quiet_since, self._postponed, self._tries = now, False, 0
        self.budget.worked(0.0)
        return self.budget.wanted and not known

    def wait(self, now: float) -> float | None:
        """Give the seconds of quiet that are still to come before one is made; None: for ever."""
        if not self.budget.wanted or self._postponed:
            return None
        return max(0.0, self._quiet_since + self.budget.patience - now)

    def is_due(self, now: float) -> bool:
        """Tell whether to make one now that nothing is asked for."""
        if self.is_urgent:
            return True
        if self.wait(now) != 0.0:
            return False
        fair, tax = self.budget.is_fair, self._tax
        if fair(tax.at_most()) or fair(seconds := tax.measured()):
            return True
        self._postponed = True
        self.why_not = (
            f"the last snapshot made them {seconds:.1f} s slower, and they have to have run for "
            f"{seconds / PART:.0f} s first (%recovery on makes one after each)"
        )
        self._tell(Unable(self.why_not, self._count()))
        return False

    def is_due_in_queue(self) -> bool:
        """Tell whether to make one before the request that is there already."""
        if self.is_urgent:
            return True
        # What the last one costs is looked up only where one would be made if it cost nothing.
        is_earned = self.budget.is_earned
        return is_earned(0.0) and is_earned(self._tax.at_most())

    # How.

    def take(self) -> bool:
        """Make one, if that is possible.

        Returns twice: in the worker, and, with True, in the process that has become it.
        """
        began = time.perf_counter()
        urgent, self.is_urgent = self.is_urgent or self.budget.mode == ON, False
        self._children.reap()
        self._shell.subshells.settle()
        self._libraries.pause_openmp()
        found = self._look_at_threads(until=began + _SPINS if urgent else began)
        count = self._count()
        if found.busy and self._may_try_again(found.busy, urgent=urgent):
            return False
        why = found.busy or descriptors.refusal() or self._shortage() or self._debugger()
        if why:
            self._give_up(why, count)
            return False
        self._shell.history_manager.save()
        donor = found.unsafe and f"{found.unsafe} has threads of its own, and cannot be copied"
        failure = self._fork(began, count, found.lost, donor)
        if failure is None:
            return True
        if failure and not (failure == _RESTLESS and self._may_try_again(failure, urgent=False)):
            self._give_up(failure, count)
        return False

    def _look_at_threads(self, until: float) -> Found:
        """Look, and for a while again: a thread that has just been joined takes a while to end."""
        looks = 0
        while (found := self._threads.look()).busy and time.perf_counter() < until:
            looks += 1
            if looks > _LOOKS and not found.spins:
                break
            time.sleep(_LOOK_AGAIN)
        return found

    def _may_try_again(self, why: str, *, urgent: bool) -> bool:
        """Tell whether to look once more in a moment: it may be quiet by then."""
        if self._tries >= _RETRIES or urgent:
            return False
        self._tries += 1
        self._quiet_since = time.monotonic()
        self._tell(Unable(why, self._count()))
        return True

    def _shortage(self) -> str:
        limit = self._shell.limits.memory
        return budget.shortage(meminfo.resident(), meminfo.read(), limit)

    def _debugger(self) -> str:
        return "a debugger is at work" if "debugpy" in sys.modules else ""

    def _count(self) -> int:
        return int(self._shell.execution_count) - 1

    def _give_up(self, why: str, count: int) -> None:
        self.why_not = why
        self.budget.settle()
        self._tell(Unable(why, count))

    def _fork(self, began: float, count: int, threads: tuple[str, ...], donor: str) -> str | None:
        """Fork, and wait until the new process is parked; tell why it is not. None in that one."""
        before = note(threads)
        end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        hear, say = os.pipe()
        self._sender.flush()
        with _no_signals(), forks.making_snapshot(), _no_warning():
            try:
                pid = os.fork()
            except OSError as error:
                pid = -1
                why = f"no process could be had for it: {error.strerror}"
            if pid == 0:
                end.close()
                os.close(hear)
                self._become(Snapshot(
                    theirs, before, self._attachment, self._loop, self._set_count, self._known,
                    self._shell,
                ), say)  # fmt: skip
                return None
        theirs.close()
        os.close(say)
        if pid > 0:
            self._children.add(pid)
            # What a thread did meanwhile may be there by half. Its end closed, it ends by itself.
            why = "" if self._threads.have_rested() else _RESTLESS
            why = self._wait(pid, hear) or why
        os.close(hear)
        if not why:
            cost = time.perf_counter() - began
            losses = (f"Threads that will be gone: {', '.join(threads)}.",) if threads else ()
            self.after, self._newest, self.losses, self.why_not = count, pid, losses, ""
            self.budget.took(cost)
            self._tax.begin()
            self.donor = donor
            self._tell(Parked(pid, count, cost, losses, donor), end.fileno())
        end.close()
        return why

    def _wait(self, pid: int, hear: int) -> str:
        """Wait for a snapshot to be parked; "" if it is."""
        if not select.select([hear], [], [], _WATCHDOG)[0]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.budget.mode = OFF
            return "a snapshot did not come to rest; no more are made in this kernel"
        said = os.read(hear, 1000).decode("utf-8", "replace")
        if said == "+":
            return ""
        return said or "a snapshot ended while it was made"

    def _become(self, snapshot: Snapshot, say: int) -> None:
        """Be a snapshot until this process is the worker."""
        self._children.forget()
        snapshot.park(say)
        # This process is the worker now.
        before = descriptors.known()
        self._shell.history_manager.begin_again()
        self._shell.subshells.begin_again()
        self._known |= dict(descriptors.known().items() - before.items())
        self._tax.begin()
        self._newest = 0
        self.is_urgent = True
        comms = list(self._shell.kernel.comm_manager.comms)
        self._sender.send(Kind.HELLO, 0, jsons.dumps({"comms": comms}))

    def _set_count(self, count: int) -> None:
        """Go on counting where the dead worker has stopped: In has nothing of the cells between."""
        shell = self._shell
        shell.execution_count = max(int(shell.execution_count), count)
        history = shell.history_manager
        for entered in (history.input_hist_parsed, history.input_hist_raw):
            entered.extend([""] * (int(shell.execution_count) - len(entered)))

    def _tell(self, message: Parked | Unable, *fds: int) -> None:
        with suppress(OSError):  # the supervisor is gone, and so are we in a moment
            parking.send(self._line, message, fds)


def _is_silent(request: Request) -> bool:
    with suppress(ValueError):
        return request.content.get("silent") is True
    return False


@contextmanager
def _no_signals() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _no_warning() -> Iterator[None]:
    """Be told nothing by Python 3.12+, which warns of what ``Threads`` has looked at."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork.*")  # jax has one, too
        yield
