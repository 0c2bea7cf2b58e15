"""The worker's life: each state with each event, as a table that one can read beside the code's."""

from __future__ import annotations

import pytest
from bulkhead_kernel.supervisor.lifecycle import (
    MAX_STILLBORN,
    RESTARTING_TABLE,
    STOPPING_TABLE,
    TABLE,
    Do,
    Event,
    Lifecycle,
    LifecycleError,
    State,
)
from hypothesis import given
from hypothesis import strategies as st

LIVING = """
         start          hello         end        wake        awake      buried       restart        stop
dead     starting:spawn -             -          -           -          -            -              stopped:finish
starting -              running:offer dying:bury -           -          -            starting:end   starting:end
running  -              -             dying:bury -           -          -            running:end    running:end
dying    -              -             -          waking:wake -          dead:restart dying:nothing  dying:nothing
waking   -              -             -          -           dying:tell -            waking:cancel  waking:cancel
broken   starting:spawn -             -          -           -          -            dead:renew     stopped:finish
stopped  -              -             -          -           -          -            -              -
"""  # noqa: E501 - a table

RENEWING = """
         start hello            end        wake awake      buried     restart          stop
dead     -     -                -          -    -          -          -                -
starting -     starting:nothing dying:bury -    -          -          starting:nothing starting:end
running  -     -                dying:bury -    -          -          running:nothing  running:nothing
dying    -     -                -          -    -          dead:renew dying:nothing    dying:nothing
waking   -     -                -          -    dying:tell -          waking:nothing   waking:nothing
broken   -     -                -          -    -          -          -                -
stopped  -     -                -          -    -          -          -                -
"""  # noqa: E501 - a table

ENDING = """
         start hello            end        wake awake      buried         restart          stop
dead     -     -                -          -    -          -              -                -
starting -     starting:nothing dying:bury -    -          -              starting:nothing starting:nothing
running  -     -                dying:bury -    -          -              running:nothing  running:nothing
dying    -     -                -          -    -          stopped:finish dying:nothing    dying:nothing
waking   -     -                -          -    dying:tell -              waking:nothing   waking:nothing
broken   -     -                -          -    -          -              -                -
stopped  -     -                -          -    -          -              stopped:nothing  stopped:nothing
"""  # noqa: E501 - a table

PAGES = {
    "living": (LIVING, TABLE),
    "renewing": (RENEWING, RESTARTING_TABLE),
    "ending": (ENDING, STOPPING_TABLE),
}


def cells(page):
    """Read a page: (state, event) and what is expected of them, or '-'."""
    head, *rows = (line.split() for line in page.strip().split("\n"))
    return [
        pytest.param(State(row[0]), Event(event), outcome, id=f"{row[0]}-{event}")
        for row in rows
        for event, outcome in zip(head, row[1:], strict=True)
    ]


def life_in(state, *, stopping=False, restarting=False):
    life = Lifecycle()
    life.state, life.generation, life.stillborn = state, 4, 1
    life.stopping, life.restarting = stopping, restarting
    return life


def take_all(life, *events):
    return [life.take(event) for event in events]


class TestTheTable:
    @pytest.mark.parametrize("name", PAGES)
    def test_is_tested_whole(self, name):
        """There is no state and no event of which these tests say nothing."""
        page, table = cells(PAGES[name][0]), PAGES[name][1]
        assert {param.values[:2] for param in page} == {
            (state, event) for state in State for event in Event
        }
        assert {param.values[:2] for param in page if param.values[2] != "-"} == set(table)

    @pytest.mark.parametrize(("state", "event", "outcome"), cells(LIVING))
    def test_of_a_kernel_that_goes_on(self, state, event, outcome):
        """G22, G25: what follows from each event; what cannot come raises and changes nothing."""
        check(life_in(state), event, outcome)

    @pytest.mark.parametrize(("state", "event", "outcome"), cells(RENEWING))
    def test_of_a_kernel_that_begins_anew(self, state, event, outcome):
        """G31: the death of a worker that a restart has ended is no crash; who asked is told."""
        check(life_in(state, restarting=True), event, outcome)

    @pytest.mark.parametrize(("state", "event", "outcome"), cells(ENDING))
    def test_of_a_kernel_that_ends(self, state, event, outcome):
        """G31: once stopping has begun, a death is an end and there is no next worker."""
        check(life_in(state, stopping=True), event, outcome)


def check(life, event, outcome):
    before = dict(vars(life))
    if outcome == "-":
        with pytest.raises(LifecycleError, match=f"{event.value} cannot come while <Lifecycle"):
            life.take(event)
        assert vars(life) == before
    else:
        state, do = outcome.split(":")
        assert (life.take(event), life.state) == (Do(do), State(state))
        assert life.stopping == (before["stopping"] or event is Event.STOP)
        asked = before["restarting"] or event is Event.RESTART
        assert life.restarting == (asked and do != "renew" and not life.stopping)
        if do == "renew":
            assert life.stillborn == 0


class TestAWorkersLife:
    def test_goes_round(self):
        """G22: after an end the next worker is started, with the next number."""
        life = Lifecycle()
        assert repr(life) == "<Lifecycle: worker 0 dead>"
        start = [Event.START, Event.HELLO, Event.END, Event.BURIED]
        assert take_all(life, *start) == [Do.SPAWN, Do.OFFER, Do.BURY, Do.RESTART]
        assert take_all(life, Event.START, Event.HELLO) == [Do.SPAWN, Do.OFFER]
        assert repr(life) == "<Lifecycle: worker 2 running>"


class TestStillborn:
    def die_young(self, life):
        return take_all(life, Event.START, Event.END, Event.BURIED)[-1]

    def test_three_times_running_is_enough(self):
        """G25: the third worker that dies before its hello is the last one."""
        life = Lifecycle()
        assert [self.die_young(life) for _ in range(3)] == [Do.RESTART, Do.RESTART, Do.GIVE_UP]
        assert life.state is State.BROKEN
        assert MAX_STILLBORN == 3

    def test_a_hello_forgives(self):
        """G25: three times *running*: a worker that lived begins the count anew."""
        life = Lifecycle()
        for _ in range(5):
            assert [self.die_young(life) for _ in range(2)] == [Do.RESTART, Do.RESTART]
            take_all(life, Event.START, Event.HELLO, Event.END, Event.BURIED)
        assert life.state is State.DEAD

    def test_death_after_hello_is_never_counted(self):
        """G25: a worker may crash as often as its user's code makes it crash."""
        life = Lifecycle()
        for _ in range(10):
            told = take_all(life, Event.START, Event.HELLO, Event.END, Event.BURIED)
            assert told[-1] is Do.RESTART

    def test_an_explicit_restart_tries_again(self):
        """G25: what was given up can be started, and is good again after a hello."""
        life = Lifecycle()
        for _ in range(3):
            self.die_young(life)
        assert life.take(Event.START) is Do.SPAWN
        assert life.take(Event.HELLO) is Do.OFFER
        assert take_all(life, Event.END, Event.BURIED)[-1] is Do.RESTART
        assert self.die_young(life) is Do.RESTART

    def test_a_restart_that_fails_gives_up_at_once(self):
        """G25: one try for each explicit restart, not three."""
        life = Lifecycle()
        for _ in range(3):
            self.die_young(life)
        assert self.die_young(life) is Do.GIVE_UP


class TestStopping:
    def test_a_death_is_an_end(self):
        """G31: no worker is started after the kernel was told to end."""
        life = Lifecycle()
        take_all(life, Event.START, Event.HELLO)
        told = take_all(life, Event.STOP, Event.END, Event.BURIED)
        assert told == [Do.END, Do.BURY, Do.FINISH]
        assert life.state is State.STOPPED

    def test_wins_over_a_worker_that_starts(self):
        """G31: a hello that comes too late offers nothing to anybody."""
        life = Lifecycle()
        told = take_all(life, Event.START, Event.STOP, Event.HELLO, Event.END, Event.BURIED)
        assert told == [Do.SPAWN, Do.END, Do.NOTHING, Do.BURY, Do.FINISH]

    def test_wins_over_a_death_that_is_being_told(self):
        """G31: a worker that is being buried is not followed by another one."""
        life = Lifecycle()
        told = take_all(life, Event.START, Event.HELLO, Event.END, Event.STOP, Event.BURIED)
        assert told == [Do.SPAWN, Do.OFFER, Do.BURY, Do.NOTHING, Do.FINISH]

    def test_wins_over_giving_up(self):
        """G31: the third stillborn worker of a kernel that ends is just its last."""
        life = Lifecycle()
        for _ in range(2):
            take_all(life, Event.START, Event.END, Event.BURIED)
        told = take_all(life, Event.START, Event.END, Event.STOP, Event.BURIED)
        assert told[-1] is Do.FINISH

    def test_twice_is_once(self):
        """G31: a second request to end changes nothing."""
        life = Lifecycle()
        take_all(life, Event.START, Event.HELLO, Event.STOP)
        assert life.take(Event.STOP) is Do.NOTHING
        take_all(life, Event.END, Event.BURIED)
        assert life.take(Event.STOP) is Do.NOTHING


class TestRestarting:
    def test_is_an_end_and_a_beginning(self):
        """G31: one path for planned and unplanned ends; the next worker has the next number."""
        life = Lifecycle()
        take_all(life, Event.START, Event.HELLO)
        told = take_all(life, Event.RESTART, Event.END, Event.BURIED, Event.START, Event.HELLO)
        assert told == [Do.END, Do.BURY, Do.RENEW, Do.SPAWN, Do.OFFER]
        assert (life.generation, life.state) == (2, State.RUNNING)

    def test_wins_over_a_worker_that_starts(self):
        """G31: a hello that comes too late offers nothing to anybody; the next one's does."""
        life = Lifecycle()
        told = take_all(life, Event.START, Event.RESTART, Event.HELLO, Event.END, Event.BURIED)
        assert told == [Do.SPAWN, Do.END, Do.NOTHING, Do.BURY, Do.RENEW]
        assert take_all(life, Event.START, Event.HELLO) == [Do.SPAWN, Do.OFFER]

    def test_after_too_many_stillborn_tries_three_times_again(self):
        """G25: a restart of the kernel forgives them all."""
        life = Lifecycle()
        for _ in range(3):
            take_all(life, Event.START, Event.END, Event.BURIED)
        assert life.state is State.BROKEN
        assert life.take(Event.RESTART) is Do.RENEW
        dead = [take_all(life, Event.START, Event.END, Event.BURIED)[-1] for _ in range(3)]
        assert dead == [Do.RESTART, Do.RESTART, Do.GIVE_UP]

    def test_twice_is_once(self):
        """G31: a second restart while the first one lasts is the first one."""
        life = Lifecycle()
        take_all(life, Event.START, Event.HELLO, Event.RESTART)
        assert take_all(life, Event.RESTART, Event.END, Event.RESTART) == [
            Do.NOTHING, Do.BURY, Do.NOTHING
        ]  # fmt: skip
        assert life.take(Event.BURIED) is Do.RENEW

    def test_gives_way_to_the_end(self):
        """G31: once the kernel is to end, there is no next worker, whoever wants to restart it."""
        for events in ([Event.RESTART, Event.STOP], [Event.STOP, Event.RESTART]):
            life = Lifecycle()
            take_all(life, Event.START, Event.HELLO)
            assert take_all(life, *events) == [Do.END, Do.NOTHING]
            assert take_all(life, Event.END, Event.BURIED)[-1] is Do.FINISH


class TestAnyHistory:
    @given(st.lists(st.sampled_from(Event), max_size=30))
    def test_keeps_the_rules(self, events):
        """G23, G31: one worker at a time, numbers that only grow, one finish, nothing after it."""
        life, told = Lifecycle(), []
        for event in events:
            before = dict(vars(life))
            try:
                told.append(life.take(event))
            except LifecycleError:
                assert vars(life) == before
        alive = 0
        for do in told:
            alive += (do is Do.SPAWN) - (do is Do.BURY)
            assert alive in (0, 1)
        assert life.generation == told.count(Do.SPAWN)
        assert told.count(Do.FINISH) == (life.state is State.STOPPED)
        if Do.FINISH in told:
            assert set(told[told.index(Do.FINISH) + 1 :]) <= {Do.NOTHING}
