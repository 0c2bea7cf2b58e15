"""Salvage: what can be serialized moves from a snapshot that cannot live to a fresh worker.

The donor serializes, the heir deserializes, and nothing of it is looked at here (G26): a descriptor
is passed from one to the other. Either may hang or die of a value. The donor guards itself, since
the values are there only once. An heir is replaced by another one, which takes everything but the
part that its predecessor did not survive.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import zmq

from ..shared import parking
from ..shared.activity import activity
from ..shared.parking import Donate, Donated, Heir, Inherit, Inherited, Loading
from . import pipes, procfs
from .recovery_words import Moved, Outcome
from .successors import Successor, close_all, end_group

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..shared.parking import Parked
    from .timers import Timers
    from .zygote import Zygote

log = logging.getLogger(__name__)

PACE = 50e6
"""Bytes that are moved in a second, at least; each of the following gets longer with the bytes."""
DONATING = 10.0
"""Seconds that a donor has; what it has serialized by then counts."""
GRACE = 5.0
"""Seconds that it has to say so."""
READY = 20.0
"""Seconds in which an heir has to be ready to take something: start-up files run first, and may
well wait for something."""
LOADING = 10.0
"""Seconds that an heir may spend on one part: modules are imported for it."""
IDLE = 2.0
"""Seconds in which an heir that does not hang does something."""
TOTAL = 25.0
"""Seconds after which an heir takes only what another one has already taken well."""
_ALL = 1 << 30


class Salvage:
    """One rescue. Used by Control alone, by way of Recovery."""

    def __init__(
        self,
        zygote: Zygote,
        poller: zmq.Poller,
        timers: Timers,
        donor: Parked,
        end: socket.socket,
        told: Callable[[Outcome, Successor | None], None],
    ) -> None:
        """Take a donor, and our end of its socket. ``told`` hears once what came of it."""
        self._zygote = zygote
        self._poller = poller
        self._timers = timers
        self._donor = donor
        self._end = end
        self._told = told
        self._heir: _Heir | None = None
        self._estate = -1  # a descriptor that is passed on
        self._is_whole = True  # one part, which is all or nothing
        self._without: list[tuple[str, str]] = []  # parts that cost an heir, and how
        self._most = _ALL
        self._stage = 0  # numbered, for timers
        self._longer = _resident(donor.pid) / PACE
        self._began = time.monotonic()
        self._is_over = False

    def begin(self) -> None:
        """Ask the donor, and make an heir meanwhile."""
        # Before it can end: its group is ended later, by a number that must be its own still.
        self._zygote.adopt(self._donor.pid)
        self._poller.register(self._end.fileno(), zmq.POLLIN)
        self._ask(whole=True)
        if not self._is_over:
            self._make_heir()

    def serve(self, ready: dict[object, int]) -> None:
        """Hear what there is to hear."""
        if not self._is_over and self._end.fileno() in ready:
            self._hear_donor()
        heir = self._heir
        if not self._is_over and heir is not None and any(fd in ready for fd in heir.fds):
            self._hear_heir(heir)

    def stop(self, why: str = "") -> None:
        """End it now; whoever waits is told that nothing was moved."""
        self._finish(Outcome(after=self._donor.after, why_not=why))

    # The donor.

    def _ask(self, *, whole: bool) -> None:
        most = DONATING + self._longer
        left = max(most / 2, most - (time.monotonic() - self._began))
        try:
            parking.send(self._end, Donate(whole, left, self._zygote.pid))
        except OSError:
            self._fail("the snapshot that held them was gone")
            return
        self._limit(left + GRACE, lambda: self._fail("they could not be serialized in time"))

    def _hear_donor(self) -> None:
        try:
            message, fds = parking.receive(self._end, 1)
        except (EOFError, OSError):
            if self._estate < 0:  # else it has said all that it had to say
                self._fail("the snapshot that held them died while they were serialized")
            else:
                self._poller.unregister(self._end.fileno())
            return
        if not isinstance(message, Donated) or len(fds) != 1 or self._estate >= 0:
            close_all(fds)
            self._fail("the snapshot that held them said something that cannot be")
            return
        (self._estate,) = fds
        os.set_inheritable(self._estate, False)
        self._is_whole = message.whole
        self._pass_on()

    # The heir.

    def _make_heir(self) -> None:
        ends = pipes.create(self._zygote.samples)
        line = socket.socket(fileno=os.dup(ends.parking))
        parking.send(line, Heir())
        try:
            pid, pidfd = self._zygote.start_now(ends)
        except OSError as error:
            line.close()
            self._fail(f"no process could be had for them: {error.strerror}")
            return
        line.setblocking(False)
        self._heir = _Heir(Successor(pid, ends), line, pidfd)
        for fd in self._heir.fds:
            self._poller.register(fd, zmq.POLLIN)
        self._pass_on()

    def _pass_on(self) -> None:
        """Give the estate to the heir, if both are there."""
        heir = self._heir
        if heir is None or self._estate < 0:
            return
        names, reasons = zip(*self._without, strict=True) if self._without else ((), ())
        with suppress(OSError):  # it is gone, which will be heard
            parking.send(heir.line, Inherit(names, reasons, self._most), (self._estate,))
        self._await(heir)

    def _await(self, heir: _Heir) -> None:
        if heir.takes is None:  # its donor was quicker than it is
            self._limit(READY, lambda: self._lose(heir, f"it took more than {READY:g} s"))
            return
        size = min(heir.takes.size, os.fstat(self._estate).st_size)  # whatever it says
        self._watch(heir, LOADING + size / PACE, activity(heir.successor.pid))

    def _watch(self, heir: _Heir, left: float, before: str) -> None:
        """Lose patience with an heir after so many seconds, and at once if it does nothing."""

        def look() -> None:
            now = activity(heir.successor.pid)
            if now == before:
                self._lose(heir, "the fresh interpreter came to a standstill")
            elif left <= IDLE:
                self._lose(heir, "the fresh interpreter took too long")
            else:
                self._watch(heir, left - IDLE, now)

        self._limit(min(left, IDLE), look)

    def _hear_heir(self, heir: _Heir) -> None:
        while not self._is_over:
            try:
                message, fds = parking.receive(heir.line, 1)
            except BlockingIOError:
                if heir.is_dead():
                    self._lose(heir, "the fresh interpreter died of it")
                return
            except (EOFError, OSError):
                self._lose(heir, "the fresh interpreter died of it")
                return
            close_all(fds)
            match message:
                case Loading():
                    heir.takes = message
                    self._await(heir)
                case Inherited():
                    self._inherited(heir, message)
                case _:
                    self._lose(heir, "the fresh interpreter said something that cannot be")
                    return

    def _inherited(self, heir: _Heir, found: Inherited) -> None:
        self._heir = None
        heir.let_go(self._poller)
        outcome = Outcome(
            after=self._donor.after, why_not=self._donor.donor, moved=Moved(*found)
        )  # fmt: skip
        self._finish(outcome, heir.successor)

    def _lose(self, heir: _Heir, why: str) -> None:
        """Go on without an heir that did not survive a part, and without that part."""
        if heir is not self._heir:
            return
        takes = heir.takes
        log.info(
            "salvage: %s is not moved: %s", takes.part if takes is not None else "nothing", why
        )
        self._end_heir()
        if takes is None:
            self._fail(f"a fresh interpreter was not ready for them ({why})")
        elif self._most != _ALL:
            self._fail("the fresh interpreter could not take them in time")
        elif self._is_whole:
            self._estate = close(self._estate)
            self._ask(whole=False)
        else:
            self._without.append((takes.part, why))
            if time.monotonic() > self._began + TOTAL + self._longer:
                self._most = takes.at
        if not self._is_over:
            self._make_heir()

    def _end_heir(self) -> None:
        heir, self._heir = self._heir, None
        if heir is not None:
            heir.let_go(self._poller)
            heir.successor.end(self._zygote)

    # The end.

    def _limit(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something if nothing else has been begun after so many seconds."""
        self._stage = stage = self._stage + 1

        def act() -> None:
            if not self._is_over and self._stage == stage:
                action()

        self._timers.after(seconds, act)

    def _fail(self, why: str) -> None:
        if why and self._donor.donor:
            why = f"{self._donor.donor}; {why}"
        log.warning("nothing was moved: %s", why)
        self._finish(Outcome(after=self._donor.after, why_not=why))

    def _finish(self, outcome: Outcome, successor: Successor | None = None) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._end_heir()
        with suppress(KeyError):  # it was heard that it is gone
            self._poller.unregister(self._end.fileno())
        self._end.close()
        self._estate = close(self._estate)
        end_group(self._donor.pid, self._zygote)
        self._told(outcome, successor)


class _Heir:
    """A fresh worker that waits for what it is to get, or takes it."""

    def __init__(self, successor: Successor, line: socket.socket, pidfd: int) -> None:
        self.successor = successor
        self.line = line
        self.fds = line.fileno(), pidfd
        self.takes: Loading | None = None

    def is_dead(self) -> bool:
        """Tell whether its process has ended."""
        poller = zmq.Poller()
        poller.register(self.fds[1], zmq.POLLIN)
        return bool(poller.poll(0))

    def let_go(self, poller: zmq.Poller) -> None:
        """Hear nothing more of it."""
        for fd in self.fds:
            poller.unregister(fd)
        self.line.close()
        os.close(self.fds[1])


def _resident(pid: int) -> int:
    """Give the bytes that a process has resident; 0 if it is gone."""
    try:
        return procfs.status(pid).rss
    except (OSError, ValueError):
        return 0


def close(fd: int) -> int:
    """Close a descriptor, if there is one; give what stands for none."""
    if fd >= 0:
        os.close(fd)
    return -1
