"""What Monitor does about memory: a snapshot is let go if that helps, and not for a moment."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from bulkhead_kernel.shared import ledger as ledgers
from bulkhead_kernel.shared.ledger import Ledger, Slot
from bulkhead_kernel.shared.limits import Limits
from bulkhead_kernel.supervisor import events
from bulkhead_kernel.supervisor.family import Use
from bulkhead_kernel.supervisor.inboxes import Inboxes
from bulkhead_kernel.supervisor.monitor import Monitor, _Watch

MIB = 1 << 20
LIMIT = 300 * MIB
SNAPSHOT = 20 * MIB


class Watched:
    """A cell that Monitor watches, and uses what the test says."""

    def __init__(self, monkeypatch):
        block = ledgers.create()
        self.ledger = Ledger(block)
        os.close(block)
        self.ledger[Slot.SENT] = 7
        self.inboxes = Inboxes()
        samples = SimpleNamespace(append=lambda _: None)
        limits = Limits(memory=LIMIT)
        self.monitor = Monitor(self.inboxes, samples, limits, 1.0, os.getpid())
        self.monitor._family = SimpleNamespace(lift_limit=lambda: None)
        worker = SimpleNamespace(ledger=self.ledger, generation=1, pid=0)
        self._watch = _Watch(events.Watch(worker, 7, 0.0), limits, 1.0)
        monkeypatch.setattr(self.monitor, "_look", lambda *_, **__: self._use)

    def uses(self, charged):
        """Let Monitor look at so much; give what it tells Control."""
        self._use = Use(
            charged, charged, charged, charged, 0, 0.0, charged, 1, 0,
            snapshots=SNAPSHOT, parked=1,
        )  # fmt: skip
        self.monitor._sample(self._watch)
        return [type(event).__name__ for event in self.inboxes.control.drain()]


@pytest.fixture
def watched(monkeypatch):
    """Give a cell with a limit and a snapshot."""
    watched = Watched(monkeypatch)
    yield watched
    for inbox in vars(watched.inboxes).values():
        inbox.close()


def test_a_snapshot_whose_memory_is_enough_is_let_go(watched):
    """G39: the cell goes on; it was over the limit twice running, and would not be without."""
    assert watched.uses(LIMIT) == []
    assert watched.uses(LIMIT + SNAPSHOT // 2) == []
    assert watched.uses(LIMIT + SNAPSHOT // 2) == ["MemoryShort"]


def test_a_cell_that_passes_by_keeps_its_snapshot(watched):
    """G41: a moment later it would be over the limit all the same, and then needs it."""
    assert watched.uses(LIMIT + SNAPSHOT // 2) == []
    assert watched.uses(LIMIT + 2 * SNAPSHOT) == ["Overrun"]


def test_what_was_short_once_is_forgotten(watched):
    """G41: twice running, not twice in all."""
    assert watched.uses(LIMIT + SNAPSHOT // 2) == []
    assert watched.uses(LIMIT) == []
    assert watched.uses(LIMIT + SNAPSHOT // 2) == []
