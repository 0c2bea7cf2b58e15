"""The worker's life as a table: what state it is in, what may happen, what is to be done then.

What is not in the table raises and changes nothing. Whether a worker that runs is idle or busy is
no state here: the ledger and Shell know, and a second copy could only be wrong.
"""

from __future__ import annotations

from enum import Enum

MAX_STILLBORN = 3
"""Workers that die before their hello, one after another, before no more are started (G25)."""


class State(Enum):
    """Where a worker stands."""

    DEAD = "dead"  # there is none
    STARTING = "starting"  # asked for, or not yet heard of
    RUNNING = "running"  # said hello
    DYING = "dying"  # has ended or is being ended; its end is not told yet
    WAKING = "waking"  # has ended; a snapshot of it is to take its place, which is yet to be told
    BROKEN = "broken"  # too many died before their hello
    STOPPED = "stopped"  # the kernel is ending and there is none


class Event(Enum):
    """What happens to a worker."""

    START = "start"
    HELLO = "hello"
    END = "end"  # its process has ended
    WAKE = "wake"  # it has left a snapshot, perhaps
    AWAKE = "awake"  # the snapshot has become a worker, or nothing came of it
    BURIED = "buried"  # its end was told
    RESTART = "restart"  # the kernel is to begin anew, in this process
    STOP = "stop"  # the kernel is to end


class Do(Enum):
    """What Control is to do about it."""

    NOTHING = "nothing"
    SPAWN = "spawn"
    OFFER = "offer"  # tell Shell that requests may go to it
    BURY = "bury"  # reap it, end its group, find out why
    WAKE = "wake"  # wake its snapshot
    CANCEL = "cancel"  # do not go on with that: nobody wants the next one
    TELL = "tell"  # ... why it ended, and what came of the snapshot
    RESTART = "restart"  # the next one
    RENEW = "renew"  # the next one, for those who asked for a restart: tell them
    GIVE_UP = "give up"  # no more workers: tell Shell why
    END = "end"  # make the worker end: ask, then insist
    FINISH = "finish"  # the kernel itself can end now


class LifecycleError(Exception):
    """That cannot happen in this state: a fault of ours."""


TABLE: dict[tuple[State, Event], tuple[State, Do]] = {
    (State.DEAD, Event.START): (State.STARTING, Do.SPAWN),
    (State.BROKEN, Event.START): (State.STARTING, Do.SPAWN),
    (State.STARTING, Event.HELLO): (State.RUNNING, Do.OFFER),
    (State.STARTING, Event.END): (State.DYING, Do.BURY),
    (State.RUNNING, Event.END): (State.DYING, Do.BURY),
    (State.DYING, Event.WAKE): (State.WAKING, Do.WAKE),
    (State.WAKING, Event.AWAKE): (State.DYING, Do.TELL),
    (State.DYING, Event.BURIED): (State.DEAD, Do.RESTART),
    (State.STARTING, Event.STOP): (State.STARTING, Do.END),
    (State.RUNNING, Event.STOP): (State.RUNNING, Do.END),
    (State.DYING, Event.STOP): (State.DYING, Do.NOTHING),
    (State.WAKING, Event.STOP): (State.WAKING, Do.CANCEL),
    (State.DEAD, Event.STOP): (State.STOPPED, Do.FINISH),
    (State.BROKEN, Event.STOP): (State.STOPPED, Do.FINISH),
    (State.STARTING, Event.RESTART): (State.STARTING, Do.END),
    (State.RUNNING, Event.RESTART): (State.RUNNING, Do.END),
    (State.DYING, Event.RESTART): (State.DYING, Do.NOTHING),
    (State.WAKING, Event.RESTART): (State.WAKING, Do.CANCEL),
    (State.BROKEN, Event.RESTART): (State.DEAD, Do.RENEW),
}
"""Until STOP or RESTART was taken."""

RESTARTING_TABLE: dict[tuple[State, Event], tuple[State, Do]] = {
    (State.STARTING, Event.HELLO): (State.STARTING, Do.NOTHING),
    (State.STARTING, Event.END): (State.DYING, Do.BURY),
    (State.RUNNING, Event.END): (State.DYING, Do.BURY),
    (State.WAKING, Event.AWAKE): (State.DYING, Do.TELL),
    (State.DYING, Event.BURIED): (State.DEAD, Do.RENEW),
    (State.STARTING, Event.RESTART): (State.STARTING, Do.NOTHING),
    (State.RUNNING, Event.RESTART): (State.RUNNING, Do.NOTHING),
    (State.DYING, Event.RESTART): (State.DYING, Do.NOTHING),
    (State.WAKING, Event.RESTART): (State.WAKING, Do.NOTHING),
    (State.STARTING, Event.STOP): (State.STARTING, Do.END),
    (State.RUNNING, Event.STOP): (State.RUNNING, Do.NOTHING),
    (State.DYING, Event.STOP): (State.DYING, Do.NOTHING),
    (State.WAKING, Event.STOP): (State.WAKING, Do.NOTHING),
}
"""From RESTART to RENEW: the worker is made to end already, and its death is no crash."""

STOPPING_TABLE: dict[tuple[State, Event], tuple[State, Do]] = {
    (State.STARTING, Event.HELLO): (State.STARTING, Do.NOTHING),
    (State.STARTING, Event.END): (State.DYING, Do.BURY),
    (State.RUNNING, Event.END): (State.DYING, Do.BURY),
    (State.WAKING, Event.AWAKE): (State.DYING, Do.TELL),
    (State.DYING, Event.BURIED): (State.STOPPED, Do.FINISH),
    (State.STARTING, Event.STOP): (State.STARTING, Do.NOTHING),
    (State.RUNNING, Event.STOP): (State.RUNNING, Do.NOTHING),
    (State.DYING, Event.STOP): (State.DYING, Do.NOTHING),
    (State.WAKING, Event.STOP): (State.WAKING, Do.NOTHING),
    (State.STOPPED, Event.STOP): (State.STOPPED, Do.NOTHING),
    (State.STARTING, Event.RESTART): (State.STARTING, Do.NOTHING),
    (State.RUNNING, Event.RESTART): (State.RUNNING, Do.NOTHING),
    (State.DYING, Event.RESTART): (State.DYING, Do.NOTHING),
    (State.WAKING, Event.RESTART): (State.WAKING, Do.NOTHING),
    (State.STOPPED, Event.RESTART): (State.STOPPED, Do.NOTHING),
}
"""After STOP: a death is an end, and there is no next worker."""


class Lifecycle:
    """The state of the worker, and the count of those that never lived."""

    def __init__(self) -> None:
        self.state = State.DEAD
        self.generation = 0
        self.stillborn = 0
        self.stopping = False
        self.restarting = False

    def __repr__(self) -> str:
        return f"<Lifecycle: worker {self.generation} {self.state.value}>"

    def take(self, event: Event) -> Do:
        """Move on; tell what is to be done. Raises LifecycleError, and changes nothing then."""
        try:
            state, do = self._table()[self.state, event]
        except KeyError:
            raise LifecycleError(f"{event.value} cannot come while {self!r}") from None
        if event is Event.STOP:
            self.stopping, self.restarting = True, False
        elif event is Event.RESTART:
            self.restarting = not self.stopping
        elif event is Event.START:
            self.generation += 1
        elif event is Event.HELLO:
            self.stillborn = 0
        elif event is Event.END and self.state is State.STARTING:
            self.stillborn += 1
        if do is Do.RESTART and self.stillborn >= MAX_STILLBORN:
            state, do = State.BROKEN, Do.GIVE_UP
        if do is Do.RENEW:
            self.restarting, self.stillborn = False, 0
        self.state = state
        return do

    def _table(self) -> dict[tuple[State, Event], tuple[State, Do]]:
        if self.stopping:
            return STOPPING_TABLE
        return RESTARTING_TABLE if self.restarting else TABLE
