"""Which request is next: one at a time, in order of arrival, and what a failure changes."""

from __future__ import annotations

import pytest
from bulkhead_kernel.supervisor.events import Reply
from bulkhead_kernel.supervisor.post_mortem import STOPPED
from bulkhead_kernel.supervisor.queue import Queue, Turn
from hypothesis import given
from hypothesis import strategies as st
from telling import request


def queue_of(*msg_types, ready=True):
    queue = Queue()
    queue.ready = ready
    for number, msg_type in enumerate(msg_types, 1):
        queue.arrive(request(number, msg_type))
    return queue


def turn(queue):
    """Give the next turn in words: 'send 1'."""
    found = queue.next()
    return found and f"{found[0].value} {found[1].number}"


def turns(queue):
    """Give all the turns that come without anything happening in between."""
    return list(iter(lambda: turn(queue), None))


def over(queue, number, *, abort=False):
    queue.over(Reply(request(number), "execute_reply", abort=abort))


CELL, OTHER = "execute_request", "complete_request"


class TestOneAtATime:
    def test_requests_are_sent_in_order_of_arrival(self):
        """G10: the second is sent when the first is over, and not before."""
        queue = queue_of(CELL, OTHER, CELL)
        sent = []
        while len(queue):
            sent += turns(queue)
            over(queue, queue.current.number)
        assert sent == ["send 1", "send 2", "send 3"]
        assert turn(queue) is None

    def test_nothing_is_sent_while_something_runs(self):
        """G10: one request at a time."""
        queue = queue_of(CELL, CELL)
        assert turns(queue) == ["send 1"]
        queue.arrive(request(3))
        assert turns(queue) == []
        assert repr(queue).startswith("<Queue: Request(number=1,")
        assert len(queue) == 2

    def test_nothing_is_sent_without_a_worker(self):
        """G21: requests wait for the worker's hello."""
        queue = queue_of(CELL, ready=False)
        assert turns(queue) == []
        queue.ready = True
        assert turns(queue) == ["send 1"]

    def test_the_end_of_something_else_is_not_the_end_of_what_runs(self):
        """G10: the reply of an aborted request does not let the next one overtake."""
        queue = queue_of(CELL, CELL)
        turns(queue)
        over(queue, 99)
        assert queue.current.number == 1
        assert turns(queue) == []

    @given(st.lists(st.sampled_from(["arrive", "over", "turn"]), max_size=40))
    def test_whatever_comes_in_between(self, events):
        """G10: what was sent is always the beginning of what has arrived."""
        queue = queue_of()
        arrived, sent = [], []
        for event in events:
            if event == "arrive":
                arrived.append(len(arrived) + 1)
                queue.arrive(request(arrived[-1]))
            elif event == "turn":
                found = queue.next()
                sent += [found[1].number] if found else []
            elif queue.current is not None:
                over(queue, queue.current.number)
        assert sent == arrived[: len(sent)]


class TestAFailure:
    def test_aborts_the_cells_behind_it(self):
        """G11: cells that are queued at a failure are answered aborted, in place."""
        queue = queue_of(CELL, CELL, OTHER, CELL)
        turns(queue)
        over(queue, 1, abort=True)
        assert turns(queue) == ["abort 2", "send 3"]
        over(queue, 3)
        assert turns(queue) == ["abort 4"]

    def test_aborts_no_cell_that_comes_later(self):
        """G11: whoever sends after the failure is not part of it."""
        queue = queue_of(CELL, CELL)
        turns(queue)
        over(queue, 1, abort=True)
        queue.arrive(request(3))
        assert turns(queue) == ["abort 2", "send 3"]

    def test_aborts_a_cell_that_was_on_its_way(self):
        """G11, G21: it waits its turn, and is not counted among those that will run."""
        queue = queue_of(CELL)
        turns(queue)
        queue.arrive(request(2), aborted=True)
        queue.arrive(request(3))
        assert queue.executions() == 1
        over(queue, 1, abort=False)
        assert turns(queue) == ["abort 2", "send 3"]

    def test_without_stop_on_error_aborts_nothing(self):
        """G11: the failed cell's reply says whether the rest is to be stopped."""
        queue = queue_of(CELL, CELL)
        turns(queue)
        over(queue, 1)
        assert turns(queue) == ["send 2"]

    @pytest.mark.parametrize(
        "msg_type", ["complete_request", "inspect_request", "comm_open", "comm_msg", "comm_close"]
    )
    def test_does_not_touch_what_is_no_cell(self, msg_type):
        """G11: other requests are answered normally."""
        queue = queue_of(CELL, msg_type)
        turns(queue)
        over(queue, 1, abort=True)
        assert turns(queue) == ["send 2"]

    def test_is_answered_without_a_worker(self):
        """G21: aborted cells need no worker; a crashed one is being replaced meanwhile."""
        queue = queue_of(CELL, CELL, OTHER)
        turns(queue)
        queue.ready = False
        over(queue, 1, abort=True)
        assert turns(queue) == ["abort 2"]
        queue.ready = True
        assert turns(queue) == ["send 3"]

    def test_counts_what_it_will_abort(self):
        """G19: the report of a crash says how many cells were waiting."""
        queue = queue_of(CELL, CELL, OTHER, CELL)
        turns(queue)
        assert queue.executions() == 2
        over(queue, 1, abort=True)
        assert queue.executions() == 0


class TestADeath:
    def test_gives_back_what_was_not_begun(self):
        """G21, G22: a request that the dead worker never began is the next worker's first."""
        queue = queue_of(CELL, CELL)
        turns(queue)
        queue.ready = False
        queue.put_back(request(1, retried=True))
        assert turns(queue) == []
        queue.ready = True
        found, first = queue.next()
        assert (found, first.number, first.retried) == (Turn.SEND, 1, True)
        over(queue, 1)
        assert turns(queue) == ["send 2"]


class TestNoWorkerAnyMore:
    def test_everything_is_refused(self):
        """G25: without hope of a worker nobody waits for one; each request is told why."""
        queue = queue_of(CELL, OTHER, CELL, ready=False)
        queue.refusing = STOPPED
        assert turns(queue) == ["refuse 1", "refuse 2", "refuse 3"]

    def test_what_was_aborted_stays_aborted(self):
        """G11: a cell behind a failure is aborted, also when the kernel ends meanwhile."""
        queue = queue_of(CELL, CELL, OTHER)
        turns(queue)
        queue.refusing = STOPPED
        over(queue, 1, abort=True)
        assert turns(queue) == ["abort 2", "refuse 3"]

    def test_what_runs_is_not_refused(self):
        """G31: the running request is ended, and answered by its end."""
        queue = queue_of(CELL, CELL)
        turns(queue)
        queue.refusing = STOPPED
        assert turns(queue) == []
        over(queue, 1)
        assert turns(queue) == ["refuse 2"]


class TestAnInterrupt:
    def test_is_for_the_cell_that_waits_for_a_worker(self):
        """G27: a client sees such a cell as running, and can stop it."""
        queue = queue_of(CELL, CELL, ready=False)
        queue.interrupt()
        assert queue.interrupted == 1

    def test_is_for_the_first_cell_and_for_nothing_else(self):
        """G27: what a frontend asks for by itself is not what its user wants to interrupt."""
        queue = queue_of(OTHER, CELL, CELL, ready=False)
        queue.interrupt()
        assert queue.interrupted == 2

    def test_is_for_nothing_when_nothing_waits(self):
        """G27: an interrupt acts on what runs when it is received, never on a later request."""
        queue = queue_of(ready=False)
        queue.interrupt()
        queue.arrive(request(1))
        assert queue.interrupted == 0

    def test_is_not_for_a_cell_behind_another_one(self):
        """G27: with a worker that runs something, it is that one's business."""
        queue = queue_of(CELL, CELL)
        turns(queue)
        queue.interrupt()
        assert queue.interrupted == 0

    def test_is_for_the_cell_that_its_worker_has_just_been_given(self):
        """G27: while it was on its way, the worker became ready; it is not lost."""
        queue = queue_of(CELL, CELL, ready=False)
        queue.ready = True
        assert turns(queue) == ["send 1"]
        assert queue.interrupt() == 1
        over(queue, 1)
        assert queue.interrupt() == 0
        assert turns(queue) == ["send 2"]
        assert queue.interrupt() == 0, "only what waited for the worker"
        queue.part()
        queue.put_back(queue.current)
        queue.ready = True
        assert turns(queue) == ["send 2"]
        assert queue.interrupt() == 2
