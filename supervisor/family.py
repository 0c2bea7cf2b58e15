"""The worker and the processes that it has started: how much they use, at a price that is bounded.

What can be read in microseconds is read each time. Who belongs to the family, and which pages its
members share, takes a walk through all processes or through a whole address space; that is looked
at again when the last answer is old compared with what it took to get it.
"""

from __future__ import annotations

import time
from contextlib import suppress

from ..shared.tuples import NamedTuple
from . import procfs

_AFTER = 20.0
"""How many times its own duration a slow look is good for: it costs at most a twentieth."""
_SLOW = 0.02
"""Seconds: a look that takes longer than this is not taken while somebody waits."""
_BIG = 1 << 30
"""Bytes resident of a process whose first look is taken to be slow."""


class Use(NamedTuple):
    """What a family uses now."""

    memory: int
    """Bytes, shared pages counted once."""
    resident: int
    """Bytes, shared pages counted for each process that has them."""
    together: int
    """Bytes: all that the first member has, and the others' share."""
    charged: int
    """Bytes, shared pages counted once, without files in memory."""
    swap: int
    cpu: float
    """Seconds of processor time since each member's start, ended children included."""
    peak: int
    """The most that the first member had resident since somebody reset that."""
    threads: int
    """Of the first member."""
    children: int
    snapshots: int = 0
    """Bytes that snapshots of the first member have for themselves. Their memory counts, where it
    is not shared; otherwise they are no children."""
    parked: int = 0
    """How many snapshots there are."""


class Family:
    """One process with its descendants. Used by one thread."""

    def __init__(self, pid: int, *, alone: bool = False) -> None:
        """Take a process, with its descendants unless it is to be looked at alone."""
        self.pid = pid
        self._alone = alone
        self._members: dict[int, _Member] = {}
        self._children_cost = self._children_at = 0.0
        self.add(pid)

    def look(self, *, hurry: bool = False, afresh: bool = False) -> Use | None:
        """Read what it uses; None if the first member is gone.

        In a hurry, slow looks are put off; the answer is then the last one, moved by what changed.
        Afresh, nothing that was seen earlier is taken to be true still.
        """
        if afresh:
            self._children_at = 0.0
            for member in self._members.values():
                member.distrust()
        if not hurry or self._children_cost < _SLOW:
            self._find_children()
        uses = []
        for pid, member in list(self._members.items()):
            try:
                uses.append(member.look(hurry=hurry))
            except ProcessLookupError:
                if pid == self.pid:
                    return None
                del self._members[pid]
                self._members[self.pid].expect_change()  # what they shared is its own now
        if not uses:
            return None
        first, living = uses[0], [use for use in uses if not use.parked]
        return Use(
            sum(use.memory for use in uses),
            sum(use.resident for use in living),
            first.resident + sum(use.memory for use in living[1:]),
            sum(use.charged for use in uses),
            sum(use.swap for use in uses),
            sum(use.cpu for use in living),
            first.peak,
            first.threads,
            len(living) - 1,
            sum(use.snapshots for use in uses if use.parked),
            sum(use.parked for use in uses),
        )

    def add(self, pid: int) -> None:
        """Count a process as a member, without a walk through all processes."""
        if pid not in self._members:
            with suppress(ProcessLookupError):
                self._members[pid] = _Member(pid)

    def lift_limit(self) -> None:
        """Let children have the memory that the family has: the limit is for all of it together.

        They inherit the worker's own limit, and would each be refused memory on their own account.
        """
        for pid, member in self._members.items():
            if pid != self.pid:
                member.lift_limit()

    def _find_children(self) -> None:
        now = time.monotonic()
        if now < self._children_at + max(_AFTER * self._children_cost, 0.02):
            return
        first = self._members.get(self.pid)
        if first is None or self._alone:
            return
        with suppress(ProcessLookupError):
            for child in procfs.descendants(self.pid):
                if child not in self._members:
                    self.add(child)
                    first.expect_change()  # a fork shares the pages that were its parent's alone
        self._children_at = time.monotonic()
        self._children_cost = self._children_at - now


class _Member:
    """One process of a family. Raises ProcessLookupError, here and later, if it is gone."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began = procfs.life(pid).began
        self._lifted = False
        self._shared = self._shared_charged = 0  # what the others pay for
        self._private = 0
        self._shares_at = self._shares_cost = 0.0
        self._good_for = 1.0  # seconds

    def look(self, *, hurry: bool) -> Use:
        status, life = procfs.status(self._pid), procfs.life(self._pid)
        if life.is_over or life.began != self._began:
            raise ProcessLookupError
        first_is_slow = not self._shares_at and status.rss > _BIG
        if not (hurry and (first_is_slow or self._shares_cost > _SLOW)):
            self._look_at_shares(status)
        return Use(
            max(0, status.rss - self._shared),
            status.rss,
            status.rss,
            max(0, status.charged - self._shared_charged),
            status.swap,
            life.cpu,
            status.peak,
            status.threads,
            0,
            self._private,
            int(status.is_parked),
        )

    def _look_at_shares(self, status: procfs.Status) -> None:
        now = time.monotonic()
        good_for = max(self._good_for, _AFTER * self._shares_cost)
        if self._shares_at and now < self._shares_at + good_for:
            return
        self._good_for = 1.0
        shares = procfs.shares(self._pid)
        if shares is not None:
            self._shared = status.rss - shares.pss
            self._shared_charged = status.charged - shares.charged
            self._private = shares.private
        self._shares_at = time.monotonic()
        self._shares_cost = self._shares_at - now

    def distrust(self) -> None:
        """Look at everything the next time."""
        self._shares_at = 0.0

    def expect_change(self) -> None:
        """Look at its shares as soon as that is cheap enough."""
        self._good_for = 0.0

    def lift_limit(self) -> None:
        if not self._lifted:
            self._lifted = True
            procfs.lift_limit(self._pid)
