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
COMMS = "comm_open", "comm_msg", "comm_close"


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

    @pytest.mark.parametrize("msg_type", ["complete_request", "inspect_request"])
    def test_does_not_touch_what_is_no_cell(self, msg_type):
        """G11: other requests are answered normally."""
        queue = queue_of(CELL, msg_type)
        turns(queue)
        over(queue, 1, abort=True)
        assert turns(queue) == ["send 2"]

    @pytest.mark.parametrize("msg_type", COMMS)
    def test_does_not_touch_comm_messages(self, msg_type):
        """G11: one that the failed cell has not taken is handled in its place."""
        queue = queue_of(CELL, CELL, msg_type)
        assert turns(queue) == ["send 1", "offer 3"]
        over(queue, 1, abort=True)
        assert turns(queue) == []
        queue.put_back(request(3, msg_type, aside=True))
        assert turns(queue) == ["abort 2", "send 3"]

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


class TestACommMessageWhileACellRuns:
    def test_is_offered_to_it_ahead_of_what_waits(self):
        """G10: the cell may await it, and would wait for ever if it came behind the next cell."""
        queue = queue_of(CELL, CELL, *COMMS)
        assert turns(queue) == ["send 1", "offer 3", "offer 4", "offer 5"]
        assert repr(queue).endswith("runs, [3, 4, 5] are offered, 1 wait>")
        assert not queue.is_idle

    def test_is_over_when_the_cell_has_taken_it(self):
        """G9: then nothing is left of it."""
        queue = queue_of(CELL, "comm_msg")
        turns(queue)
        over(queue, 2)
        over(queue, 1)
        assert queue.is_idle

    def test_keeps_the_next_request_from_overtaking_it(self):
        """G10: until it is known whether the cell took it, nothing is sent."""
        queue = queue_of(CELL, "comm_msg", CELL)
        assert turns(queue) == ["send 1", "offer 2"]
        over(queue, 1)
        assert turns(queue) == []
        queue.put_back(request(2, "comm_msg", aside=True))
        assert turns(queue) == ["send 2"]

    def test_is_offered_to_nothing_else(self):
        """G10: only a cell can await something."""
        for first in (OTHER, "comm_msg"):
            assert turns(queue_of(first, "comm_msg")) == ["send 1"]

    def test_comes_back_from_a_death_without_suspicion(self):
        """G16, G22: the worker did not die of it, so it may be sent to the next ones, and alone."""
        queue = queue_of(CELL, "comm_msg", "comm_msg")
        turns(queue)
        queue.part()
        for number in (2, 3):
            queue.put_back(request(number, "comm_msg", aside=True))
        over(queue, 1, abort=True)
        queue.ready = True
        found, first = queue.next()
        assert (found, first) == (Turn.SEND, request(2, "comm_msg"))
        over(queue, 2)
        assert turns(queue) == ["send 3"]

    @given(st.data())
    def test_whatever_comes_in_between(self, data):
        """G9, G10: what no cell has taken is handled in the order of arrival, each once."""
        queue, number, offered, handled, taken = queue_of(), 0, [], [], []
        for _ in range(data.draw(st.integers(0, 30))):
            event = data.draw(st.sampled_from(["cell", "comm", "take", "return", "over", "turn"]))
            if event in ("cell", "comm"):
                number += 1
                queue.arrive(request(number, CELL if event == "cell" else "comm_msg"))
            elif event == "turn" and (found := queue.next()):
                (offered if found[0] is Turn.OFFER else handled).append(found[1])
            elif event == "over" and queue.current is not None:
                over(queue, queue.current.number)
            elif event == "take" and offered and queue.current is not None:
                taken.append(offered.pop(0))
                over(queue, taken[-1].number)
            elif event == "return" and offered and queue.current is None:
                queue.put_back(offered.pop(0))
        numbers = [one.number for one in handled]
        assert numbers == sorted(set(numbers))
        left = len(queue) + len(offered)
        assert len(handled) + len(taken) + left == number


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

    def test_is_not_for_a_cell_that_came_after_it(self):
        """G27: neither one that waits for the worker, nor the worker's first."""
        queue = queue_of(CELL, ready=False)
        assert (queue.interrupt(before=1), queue.interrupted) == (0, 0)
        queue.ready = True
        turns(queue)
        assert queue.interrupt(before=1) == 0
        assert queue.interrupt(before=2) == 1
