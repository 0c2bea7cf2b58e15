"""The timers of the worker's loop: left to ring, set again if it was too early, and never lost."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from bulkhead_kernel.worker.loop import MainLoop


class Clock:
    """An event loop as far as timers need it: time goes by when the test says so."""

    def __init__(self):
        self.now = 100.0
        self.timers = []
        self.stopped = 0

    def time(self):
        return self.now

    def call_at(self, when, callback):
        timer = SimpleNamespace(when=lambda: when, callback=callback)
        timer.cancel = lambda: self.timers.remove(timer)
        self.timers.append(timer)
        return timer

    def call_later(self, delay, callback):
        return self.call_at(self.now + delay, callback)

    def stop(self):
        self.stopped += 1

    def go_by(self, seconds, *, rings=True):
        """Let time go by; what is due then rings, or is kept from it."""
        self.now += seconds
        for timer in [each for each in self.timers if each.when() <= self.now]:
            self.timers.remove(timer)
            if rings:
                timer.callback()
            else:
                timer.cancel = lambda: None  # as asyncio's, which has let go of it


@pytest.fixture
def clock():
    """Give the loop's clock."""
    return Clock()


@pytest.fixture
def loop(clock):
    """Give a main loop that waits, with nothing in it but its timers."""
    loop = object.__new__(MainLoop)
    loop._loop, loop._waits = clock, True
    loop._alarm = loop._save = None
    loop.wait, loop.saved = None, 0
    loop._snapshots = SimpleNamespace(wait=lambda _: loop.wait)

    def save():
        loop.saved += 1

    loop._shell = SimpleNamespace(history_manager=SimpleNamespace(save=save))
    return loop


def test_history_is_saved_once_it_is_quiet(clock, loop):
    """One timer for any number of requests; it waits for the last of them."""
    for _ in range(5):
        loop._save_soon()
        clock.go_by(0.15)
    assert loop.saved == 0
    assert len(clock.timers) == 1
    clock.go_by(0.06)
    assert loop.saved == 1
    assert clock.timers == [], "it is quiet now (G37)"


def test_the_loop_stops_when_a_snapshot_is_due(clock, loop):
    """G41: at the time that is asked for, be it sooner than it was."""
    loop.wait = 0.5
    loop._stop_when_due()
    loop.wait = 0.1
    loop._stop_when_due()
    assert len(clock.timers) == 1
    clock.go_by(0.1)
    assert clock.stopped == 1


def test_an_early_alarm_is_kept(clock, loop):
    """It stops the loop too early once, which then asks again: not a timer for each request."""
    loop.wait = 0.1
    loop._stop_when_due()
    clock.go_by(0.05)
    loop._stop_when_due()
    (timer,) = clock.timers
    assert timer.when() == pytest.approx(100.1)


def test_while_a_cell_runs_nothing_is_stopped(clock, loop):
    """An alarm of before the cell stops the loop in which the cell awaits something."""
    loop.wait = 0.1
    loop._stop_when_due()
    loop._waits = False
    clock.go_by(0.1)
    assert clock.stopped == 0


def test_a_timer_that_was_kept_from_ringing_is_set_again(clock, loop):
    """G41: a handler of the user's that raises on top of it costs no snapshot and no history."""
    loop.wait = 0.1
    loop._stop_when_due()
    loop._save_soon()
    clock.go_by(1, rings=False)
    loop._stop_when_due()
    loop._save_soon()
    clock.go_by(0.3)
    assert (clock.stopped, loop.saved) == (1, 1)
