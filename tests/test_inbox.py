"""The inbox: first in, first out, from threads and signal handlers, and never a lost wake-up."""

from __future__ import annotations

import os
import select
import signal
import threading

import pytest
from bulkhead_kernel.supervisor.inbox import Inbox
from hypothesis import given
from hypothesis import strategies as st

WRITERS, ITEMS = 8, 2_000


@pytest.fixture
def inbox():
    inbox = Inbox()
    yield inbox
    inbox.close()


def is_ready(inbox):
    return select.select([inbox.fileno()], [], [], 0)[0] != []


class TestOrder:
    def test_is_first_in_first_out(self, inbox):
        """G1: what one thread tells another arrives in the order in which it was told."""
        for item in range(5):
            inbox.put(item)
        assert repr(inbox) == "<Inbox of 5>"
        assert list(inbox.drain()) == [0, 1, 2, 3, 4]
        assert list(inbox.drain()) == []

    def test_takes_what_is_put_while_taking(self, inbox):
        """Whoever drains leaves nothing behind that was there when it looked last."""
        inbox.put(3)
        taken = []
        for item in inbox.drain():
            taken.append(item)
            if item:
                inbox.put(item - 1)
        assert taken == [3, 2, 1, 0]

    def test_keeps_what_was_not_taken(self, inbox):
        """An event that makes its reader stop in the middle loses nothing."""
        for item in "abc":
            inbox.put(item)
        assert next(inbox.drain()) == "a"
        assert list(inbox.drain()) == ["b", "c"]

    @given(st.lists(st.integers(0, 3), max_size=30))
    def test_whatever_comes_in_between(self, bursts):
        """G1: bursts of any size with drains in between: nothing lost, nothing twice."""
        inbox, put, taken = Inbox(), [], []
        try:
            for size in bursts:
                for _ in range(size):
                    put.append(len(put))
                    inbox.put(put[-1])
                assert is_ready(inbox) or size == 0
                taken += inbox.drain()
            assert taken == put
            assert not is_ready(inbox)
        finally:
            inbox.close()


class TestWaking:
    def test_a_reader_that_comes_later(self, inbox):
        """What was put before anybody waited is noticed by who waits then."""
        inbox.put("x")
        assert is_ready(inbox)

    def test_a_reader_that_waits(self, inbox):
        """Who waits on the descriptor, without a time-out, is woken."""
        taken = []
        reader = threading.Thread(
            target=lambda: (select.select([inbox], [], []), taken.extend(inbox.drain()))
        )
        reader.start()
        inbox.put("x")
        reader.join()
        assert taken == ["x"]

    def test_is_over_once_everything_was_taken(self, inbox):
        """G37: an empty inbox wakes nobody."""
        inbox.put("x")
        list(inbox.drain())
        assert not is_ready(inbox)

    def test_by_hand_brings_nothing(self, inbox):
        """A wake-up without an item is harmless."""
        inbox.wake()
        assert is_ready(inbox)
        assert list(inbox.drain()) == []
        assert not is_ready(inbox)

    def test_never_blocks_the_writer(self, inbox):
        """Race 26: more items than the pipe holds wake-ups are put without a reader."""
        for item in range(100_000):
            inbox.put(item)
        assert list(inbox.drain()) == list(range(100_000))
        while is_ready(inbox):  # wake-ups that are left wake for nothing, and end
            assert list(inbox.drain()) == []

    def test_between_the_look_and_the_sleep_is_not_lost(self, inbox):
        """What is put after the wake-ups were read and before the items were is there, or wakes."""
        inbox.put("a")
        drain = inbox.drain()
        assert next(drain) == "a"
        inbox.put("b")
        assert list(drain) == ["b"]
        assert is_ready(inbox)  # once for nothing, which is the price
        assert list(inbox.drain()) == []
        assert not is_ready(inbox)


class TestManyWriters:
    def test_lose_nothing_and_keep_their_order(self, inbox):
        """G1: eight threads at once: each one's items arrive, once, in its order."""

        def write(writer):
            for item in range(ITEMS):
                inbox.put((writer, item))

        writers = [threading.Thread(target=write, args=(at,)) for at in range(WRITERS)]
        for writer in writers:
            writer.start()
        taken = []
        while len(taken) < WRITERS * ITEMS:
            select.select([inbox], [], [])
            taken += inbox.drain()
        for writer in writers:
            writer.join()
        for at in range(WRITERS):
            assert [item for writer, item in taken if writer == at] == list(range(ITEMS))


class TestASignalHandler:
    def test_may_put_whatever_it_interrupts(self, inbox):
        """G31: SIGTERM becomes an event, also in the middle of putting and taking."""
        count, taken = 300, []
        before = signal.signal(signal.SIGUSR1, lambda *_: inbox.put("signal"))
        try:
            for item in range(count):
                os.kill(os.getpid(), signal.SIGUSR1)
                inbox.put(item)
                taken += inbox.drain()
        finally:
            signal.signal(signal.SIGUSR1, before)
        taken += inbox.drain()
        assert [item for item in taken if item != "signal"] == list(range(count))
        assert taken.count("signal") == count

    def test_wakes_who_waits(self, inbox):
        """G31: a kernel that sleeps in its poller hears of the signal by its inbox."""
        before = signal.signal(signal.SIGALRM, lambda *_: inbox.put("signal"))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            select.select([inbox], [], [])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert list(inbox.drain()) == ["signal"]
