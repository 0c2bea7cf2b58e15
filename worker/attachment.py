"""What connects this process with the supervisor, and how it is exchanged for a new life's.

A woken snapshot is a worker that began with somebody else's pipes. It puts its own in their places:
every object that knows a descriptor by its number goes on as it is.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..shared.handover import Handover
    from ..shared.ledger import Ledger
    from ..shared.spool import Writer
    from .channel import Sender
    from .costs import Meter
    from .interrupts import Interrupts
    from .options import Descriptors
    from .receiver import Receiver

_BY_NUMBER = ("requests", "records", "stdout", "stderr", "orders", "crash", "parking")
"""The descriptors that are used for as long as the worker lives; the others are mapped."""


class Attachment:
    """Everything in the worker that the supervisor's descriptors went into."""

    def __init__(
        self,
        descriptors: Descriptors,
        ledger: Ledger,
        spool: Writer,
        handovers: tuple[Handover, ...],
        sender: Sender,
        receiver: Receiver,
        interrupts: Interrupts,
        meter: Meter | None,
    ) -> None:
        self._descriptors = descriptors
        self._ledger = ledger
        self._spool = spool
        self._handovers = handovers
        self._sender = sender
        self._receiver = receiver
        self._interrupts = interrupts
        self._meter = meter
        self._captured: tuple[int, ...] = ()

    def detach(self) -> frozenset[int]:
        """Let go of everything, and keep the places; give their numbers."""
        places = [getattr(self._descriptors, name) for name in _BY_NUMBER]
        places += [handover.fileno() for handover in self._handovers]
        captured = (1, self._descriptors.stdout), (2, self._descriptors.stderr)
        # The user's code may have put something else there.
        self._captured = tuple(fd for fd, ours in captured if _is_same(fd, ours))
        if self._meter is not None:
            self._meter.close()  # in /proc, its parent's files
        null = os.open(os.devnull, os.O_RDWR)
        for place in places:
            os.dup2(null, place, inheritable=False)
        for place in self._captured:
            os.dup2(null, place)
        os.close(null)
        return frozenset(places) | {0, 1, 2}

    def attach(self, fresh: Descriptors) -> None:
        """Connect with the supervisor by the descriptors of a new worker, which are closed here."""
        for place, ours in ((1, fresh.stdout), (2, fresh.stderr)):
            if place in self._captured:
                os.dup2(ours, place)
        for handover in self._handovers:
            handover.begin_again(fresh.handover)
        self._ledger.map(fresh.ledger)
        self._spool.map(fresh.spool)
        for name in _BY_NUMBER:
            os.dup2(getattr(fresh, name), getattr(self._descriptors, name), inheritable=False)
        for fd in fresh:
            with suppress(OSError):
                os.close(fd)
        self._sender.begin_again()
        self._receiver.begin_again()
        self._interrupts.begin_again()
        if self._meter is not None:
            self._meter.begin_again()


def _is_same(fd: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.fstat(other))
    except OSError:  # the user's code has closed it
        return False
