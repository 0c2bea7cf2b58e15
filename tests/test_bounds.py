"""What follows from what a cell uses: a table of readings and verdicts."""

from __future__ import annotations

import pytest
from bulkhead_kernel.shared.limits import NO_LIMITS, Limits, Why
from bulkhead_kernel.supervisor.bounds import (
    MEMORY_PATIENCE,
    RUNAWAY,
    Bounds,
    End,
    Interrupt,
    Reading,
)
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20
LIMIT = 100 * MIB
PATIENCE = 8.0

amounts = st.integers(0, 4 * LIMIT)
seconds = st.floats(0, 100)
readings = st.lists(st.builds(Reading, seconds, seconds, amounts), max_size=30).map(
    lambda many: sorted(many, key=lambda reading: reading.wall)
)
limits = st.builds(
    Limits, st.sampled_from([0, LIMIT]), st.sampled_from([0.0, 5.0]), st.sampled_from([0.0, 7.0])
)


def verdicts(limits, *readings, patience=PATIENCE, before=0):
    bounds = Bounds(limits, patience, before)
    return [bounds.check(Reading(*reading)) for reading in readings]


class TestMemory:
    def test_up_to_the_limit_nothing_happens(self):
        """G39: the limit itself may be used."""
        assert verdicts(Limits(LIMIT), (1, 1, LIMIT), (99, 99, LIMIT)) == [None, None]

    def test_a_cell_is_told_once_and_has_a_while(self):
        """G39: MemoryError first; if that does not help, the interpreter is ended."""
        told, waits, ended = verdicts(
            Limits(LIMIT),
            (1, 0, LIMIT + 1),
            (1 + MEMORY_PATIENCE, 0, LIMIT + 1),
            (1.1 + MEMORY_PATIENCE, 0, LIMIT + MIB),
        )
        assert (told, waits) == (Interrupt(Why.MEMORY), None)
        assert ended.ename == "KernelOutOfMemory"
        assert "100 MiB" in ended.evalue
        assert "101 MiB" in ended.evalue

    def test_the_peak_that_is_told_is_the_highest(self):
        """G39: the text names the peak, though less is used at the end."""
        *_, end = verdicts(Limits(LIMIT), (1, 0, 149 * MIB), (1.5, 0, 120 * MIB), (9, 0, 101 * MIB))
        assert "149 MiB" in end.evalue

    def test_a_cell_that_lets_go_is_told_anew_the_next_time(self):
        """G39: letting go helps, however often."""
        up, down = (LIMIT + 1, LIMIT)
        assert verdicts(Limits(LIMIT), (1, 0, up), (5, 0, down), (9, 0, up), (9.5, 0, up)) == [
            Interrupt(Why.MEMORY),
            None,
            Interrupt(Why.MEMORY),
            None,
        ]

    def test_a_cell_is_not_to_blame_for_what_was_there_before(self):
        """G39: a thread took too much between two cells; the next cell may take no more."""
        before = 2 * LIMIT
        readings = (1, 0, before), (9, 0, before), (10, 0, before + LIMIT // 2)
        assert verdicts(Limits(LIMIT), *readings, before=before) == [
            None, None, Interrupt(Why.MEMORY),
        ]  # fmt: skip

    def test_a_runaway_gets_no_while(self):
        """G39: the server is never the victim of patience."""
        far = int(RUNAWAY * LIMIT) + 1
        first, second = verdicts(Limits(LIMIT), (1, 0, far), (1.01, 0, far))
        assert first == Interrupt(Why.MEMORY)
        assert isinstance(second, End)


class TestTime:
    @pytest.mark.parametrize(
        ("limits", "why", "passed"),
        [(Limits(cpu=5), Why.CPU, (1, 5.1, 0)), (Limits(wall=5), Why.WALL, (5.1, 0, 0))],
    )
    def test_a_cell_is_told_and_then_ended(self, limits, why, passed):
        """Issue, 5: --cpu-limit and --cell-timeout: TimeoutError, then KernelOutOfTime."""
        wall, cpu, _ = passed
        later = (wall + PATIENCE, cpu + 1, 0)
        at_last = (wall + PATIENCE + 0.1, cpu + 1, 0)
        told, waits, ended = verdicts(limits, passed, later, at_last)
        assert (told, waits) == (Interrupt(why), None)
        assert ended.ename == "KernelOutOfTime"
        assert limits.sentence(why) in ended.evalue

    def test_patience_may_have_no_end(self):
        """--interrupt-kill-after=never: nothing is ended, for time."""
        never = float("inf")
        assert verdicts(Limits(wall=1), (2, 0, 0), (1e9, 0, 0), patience=never) == [
            Interrupt(Why.WALL),
            None,
        ]

    def test_one_limit_does_not_hide_another(self):
        """G39: a cell that was told of the time is still told of the memory."""
        assert verdicts(Limits(LIMIT, wall=1), (2, 0, 0), (3, 0, LIMIT + 1)) == [
            Interrupt(Why.WALL),
            Interrupt(Why.MEMORY),
        ]


class TestAnySeries:
    @given(readings)
    def test_without_limits_nothing_happens(self, series):
        """Issue, 5: limits are off by default."""
        assert set(verdicts(NO_LIMITS, *series)) <= {None}

    @given(limits, readings)
    def test_an_end_follows_an_interrupt_for_the_same_reason(self, limits, series):
        """G39: nobody is ended who was not told first, and time is told but once."""
        told = []
        for verdict in verdicts(limits, *series):
            if isinstance(verdict, Interrupt):
                assert verdict.why is Why.MEMORY or verdict.why not in told
                told.append(verdict.why)
            elif verdict is not None:
                assert any(limits.sentence(why) in verdict.evalue for why in told)

    @given(limits, readings)
    def test_what_keeps_within_its_limits_is_left_alone(self, limits, series):
        """G39: a verdict has a reason in its own reading."""
        for reading, verdict in zip(series, verdicts(limits, *series), strict=True):
            within = (
                (not limits.memory or reading.memory <= limits.memory)
                and (not limits.cpu or reading.cpu <= limits.cpu)
                and (not limits.wall or reading.wall <= limits.wall)
            )
            assert verdict is None or not within
