"""Snapshots of the worker, as the supervisor knows them: the newest one, and how it is woken.

Control asks for a woken worker when one has died, and is told once that is there, or will not be.
Whatever comes over these sockets is believed as far as it goes: it can cost a worker, no more.
"""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from ..shared import parking
from ..shared.parking import Awake, Parked, Unable, Wake
from ..shared.tuples import NamedTuple
from . import pipes
from .recovery_words import Outcome, Standing
from .salvage import Salvage
from .successors import Successor, close_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from .pipes import Ends
    from .timers import Timers
    from .zygote import Zygote

log = logging.getLogger(__name__)

PROOF = 3.0
"""Seconds in which a woken snapshot has to prove that it works, if it is a small one."""
_PROOF_AT_MOST = 30.0
_A_SECOND = 200_000_000
"""Bytes for which it has a second more: a million small objects, which are looked at, take 0.2."""
TRIES = 2
"""Restored workers that die without a cell that succeeds, before a fresh one is started."""


class _Snapshot(NamedTuple):
    parked: Parked
    end: socket.socket

    def drop(self) -> None:
        """Let it end."""
        self.end.close()


class Recovery:
    """Everything about snapshots that Control needs to know."""

    def __init__(self, zygote: Zygote, poller: zmq.Poller, timers: Timers) -> None:
        self._zygote = zygote
        self._poller = poller
        self._timers = timers
        self._line: socket.socket | None = None  # of the present worker
        self._worker = 0  # its process id
        self._newest: _Snapshot | None = None
        self._unable: Unable | None = None  # the newest cells are in none, and why
        self._waking: tuple[_Snapshot, Ends, Callable[[Outcome], None]] | None = None
        self._behind = ""  # why what is waking lacks the newest cells, if it does
        self._salvage: Salvage | None = None
        self._successor: Successor | None = None
        self._failed = 0  # restored workers that died, one after another

    # The present worker.

    def attach(self, pid: int, line: int) -> None:
        """Listen to a worker that was started."""
        self._line = socket.socket(fileno=line)
        self._line.setblocking(False)
        self._worker = pid
        self._poller.register(line, zmq.POLLIN)

    def serve(self, ready: dict[object, int]) -> None:
        """Hear what there is to hear."""
        if self._line is not None and self._line.fileno() in ready:
            self._hear()
        if self._waking is not None and self._waking[0].end.fileno() in ready:
            self._hear_woken()
        if self._salvage is not None:
            self._salvage.serve(ready)

    def standing(self) -> Standing | None:
        """Tell what a crash would leave now; None if nothing is known."""
        newest = self._newest.parked if self._newest is not None else None
        if newest is None and self._unable is None:
            return None
        why_not = self._unable.why if self._unable is not None else ""
        if newest is None:
            return Standing(0, 0, 0.0, (), why_not)
        return Standing(
            newest.after, newest.pid, newest.cost, newest.losses, why_not, newest.donor
        )  # fmt: skip

    def drop(self) -> None:
        """Let the snapshot end: it is not wanted, or its memory is needed."""
        if self._newest is not None:
            self._newest.drop()
            self._newest = None

    def sacrifice(self) -> None:
        """Let the snapshot end because the running cell needs its memory."""
        if self._newest is not None:
            log.info("the snapshot after cell %s had to go: memory", self._newest.parked.after)
            self._unable = Unable("its memory was needed by this cell", self._newest.parked.after)
            self.drop()

    def leave(self) -> None:
        """Hear the last words of a worker that has died."""
        if self._line is not None:
            self._hear()
        if self._line is not None:
            self._hang_up()

    # Waking.

    def wake(self, count: int, *, worked: bool, size: int, told: Callable[[Outcome], None]) -> None:
        """Make the newest snapshot the worker; ``told`` hears what came of it, now or later.

        ``count`` is the next execution_count; ``worked`` tells whether the dead worker had done
        anything well since it was restored, if it was, and ``size`` how many bytes it had: to put
        its objects right takes time.
        """
        self._failed = 0 if worked else self._failed
        snapshot, self._newest = self._newest, None
        unable, self._unable = self._unable, None
        self._behind = unable.why if unable is not None else ""
        if snapshot is None:
            told(Outcome(why_not=self._behind))
            return
        if self._failed >= TRIES:
            self._failed = 0
            snapshot.drop()
            told(Outcome(why_not=f"the restored interpreter died {TRIES} times running"))
            return
        if snapshot.parked.donor:
            self._move(snapshot, snapshot.parked.donor, told)
            return
        ends = pipes.create(self._zygote.samples)
        self._waking = snapshot, ends, told
        self._poller.register(snapshot.end.fileno(), zmq.POLLIN)
        # Before it can end as the worker: how it ended will be asked for.
        self._zygote.adopt(snapshot.parked.pid)
        try:
            parking.send(snapshot.end, Wake(count, self._zygote.pid), ends.worker)
        except OSError:
            self._give_up("its snapshot was gone")
            return
        finally:
            pipes.close_worker_ends(ends)
        self._failed += 1

        seconds = min(PROOF + size // _A_SECOND, _PROOF_AT_MOST)

        def too_late() -> None:
            if self._waking is not None and self._waking[0] is snapshot:
                self._give_up(f"its snapshot did not wake up in {seconds:g} s")

        self._timers.after(seconds, too_late)

    def interrupt(self) -> bool:
        """End a salvage, if there is one: the user would rather go on. Tell whether there was."""
        if self._salvage is None:
            return False
        self._salvage.stop("moving them to a fresh interpreter was interrupted")
        return True

    def cancel(self) -> None:
        """End what is being done about a death, now; whoever waits for it is told."""
        if self._salvage is not None:
            self._salvage.stop()
        elif self._waking is not None:
            self._give_up("the kernel is ending")

    def take_successor(self) -> Successor | None:
        """Give the process that is to be the next worker, once; None if any will do."""
        successor, self._successor = self._successor, None
        return successor

    def stop(self) -> None:
        """Let everything end: the kernel does, or begins anew."""
        self.drop()
        if self._successor is not None:
            self._successor.end(self._zygote)
        self._successor = self._unable = None
        self._failed = 0

    # Helpers.

    def _hear(self) -> None:
        line = self._line
        assert line is not None
        while True:
            try:
                message, fds = parking.receive(line, 1)
            except BlockingIOError:
                return
            except (EOFError, OSError):
                self._hang_up()
                return
            match message:
                case Parked(pid) if len(fds) == 1 and self._is_snapshot(pid):
                    self.drop()
                    self._newest = _Snapshot(message, socket.socket(fileno=fds[0]))
                    self._unable = None
                case Unable(_, _, final):
                    self._unable = message
                    if final:
                        self.drop()
                    close_all(fds)
                case _:
                    log.warning("worker %s: no word about snapshots is like this", self._worker)
                    close_all(fds)

    def _is_snapshot(self, pid: int) -> bool:
        """Tell whether a process can be the worker's snapshot: its child, or an orphan of it."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            parent = int(text.rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return False
        return pid != self._worker and parent in (self._worker, self._zygote.pid)

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            self._poller.unregister(line.fileno())
            line.close()

    def _hear_woken(self) -> None:
        assert self._waking is not None
        snapshot, ends, told = self._waking
        try:
            message, fds = parking.receive(snapshot.end, 1)
        except (EOFError, OSError):
            self._give_up("its snapshot died while it woke up")
            return
        close_all(fds)
        if not isinstance(message, Awake):
            self._give_up("its snapshot said something that cannot be")
        elif message.why_not:
            self._end_waking(keep=True)
            close_all(ends[:-1])
            self._move(snapshot, f"its snapshot could not go on ({message.why_not})", told)
        else:
            self._end_waking()
            self._successor = Successor(snapshot.parked.pid, ends)
            told(Outcome(True, snapshot.parked.after, message.losses, self._behind))

    def _give_up(self, why: str) -> None:
        assert self._waking is not None
        snapshot, ends, told = self._waking
        self._end_waking()
        log.warning("nothing was restored: %s", why)
        Successor(snapshot.parked.pid, ends).end(self._zygote)
        told(Outcome(why_not=why))

    def _move(self, snapshot: _Snapshot, why: str, told: Callable[[Outcome], None]) -> None:
        """Move what can be serialized from a snapshot, which cannot live, to a fresh worker."""

        def over(outcome: Outcome, successor: Successor | None) -> None:
            self._salvage, self._successor = None, successor
            told(outcome._replace(behind=self._behind))

        self._salvage = Salvage(
            self._zygote,
            self._poller,
            self._timers,
            snapshot.parked._replace(donor=why),
            snapshot.end,
            over,
        )
        self._salvage.begin()

    def _end_waking(self, *, keep: bool = False) -> None:
        assert self._waking is not None
        snapshot = self._waking[0]
        self._waking = None
        self._poller.unregister(snapshot.end.fileno())
        if not keep:
            snapshot.end.close()
