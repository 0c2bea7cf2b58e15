"""A stretch of the kernel's life, put together for a picture. Pure."""

from __future__ import annotations

import math
from itertools import pairwise

from bulkhead_kernel.shared.samples import Sample
from bulkhead_kernel.worker.costs import Costs
from bulkhead_kernel.worker.recording import Axis, Load, Recording, record
from hypothesis import assume, given
from hypothesis import strategies as st

GIB = float(1 << 30)
moments = st.floats(1e9, 2e9)
amounts = st.floats(0, 1e13)
short = st.one_of(st.just(0.0), st.floats(1e-6, 1e5))

samples = st.lists(
    st.builds(Sample, moments, amounts, short, st.sampled_from([0.0, 1.0, 2.0, 3.0]), short),
    max_size=20,
).map(lambda many: sorted(many, key=lambda sample: sample.time))
costs = st.lists(
    st.builds(
        Costs,
        st.integers(1, 5),
        st.integers(1, 10**6),
        moments,
        short,
        short,
        short,
        short,
        st.integers(0, 1 << 42),
        st.just(0),
        st.integers(0, 1 << 42),
    ),
    max_size=20,
)
recordings = st.builds(
    record, samples, costs, st.sampled_from([0, 1 << 30, 1 << 42]), st.sampled_from([0.0, 1.5e9])
)


def cost(number, began, wall, *, cpu=0.0, memory=0, change=0, peak=0):
    return Costs(number, number, began, wall, cpu, 0.0, 0.0, memory, change, peak)


class TestRecord:
    def test_cells_and_samples_make_one_curve(self):
        """Issue, 3: what the worker measured and what was seen from outside, in order of time."""
        seen = [Sample(11, 200, 0.5, 7, 1), Sample(12, 300, 1.5, 7, 1)]
        done = [cost(7, 10, 3, cpu=2, memory=100, change=50, peak=400)]
        recording = record(seen, done, 1000, 0)
        assert recording.memory == ((10, 100.0), (11, 200), (12, 300), (13, 150.0))
        assert recording.loads == (Load(11, 12, 100.0),)
        assert recording.peak == 400
        assert recording.limit == 1000

    def test_a_short_cell_has_the_load_that_it_measured(self):
        """Issue, 3: a cell that was over before a sample was taken is in the picture, too."""
        assert record([], [cost(1, 10, 2, cpu=1)], 0, 0).loads == (Load(10, 12, 50.0),)

    def test_what_was_before_is_left_out(self):
        """Issue, 3: the kernel's recent life; a cell that reaches into it is shown."""
        done = [cost(1, 10, 1), cost(2, 20, 10), cost(3, 40, 1)]
        assert [cell.execution_count for cell in record([], done, 0, 25).cells] == [2, 3]

    def test_a_death_stands_where_the_worker_was_seen_last(self):
        """Issue, 3: the picture shows what led to a death."""
        seen = [Sample(1, 5, 0, 1, 1), Sample(2, 9, 0, 1, 1), Sample(5, 3, 0, 2, 2)]
        recording = record(seen, [], 0, 0)
        assert recording.deaths == (2,)
        assert all(load.end <= 2 or load.start >= 5 for load in recording.loads)


class TestAxis:
    def test_a_gap_is_cut_short(self):
        """Issue, 3: nobody wants to look at an hour in which nothing ran."""
        axis = Axis(record([], [cost(1, 0, 10), cost(2, 3610, 10)], 0, 0))
        assert axis.at(0) == 0
        assert math.isclose(axis.at(10), 0.48)
        assert math.isclose(axis.at(3610), 0.52)
        assert axis.at(3620) == 1
        assert len(axis.gaps) == 1

    @given(recordings, st.lists(moments, max_size=10))
    def test_every_moment_has_a_place_and_they_are_in_order(self, recording, more):
        """Issue, 3: within the picture, never backwards, never nowhere."""
        assume(recording.memory)
        axis = Axis(recording)
        places = [
            axis.at(moment) for moment in sorted([*more, *(at for at, _ in recording.memory)])
        ]
        assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
        assert all(a <= b + 1e-9 for a, b in pairwise(places))

    def test_of_nothing(self):
        """Issue, 3: a recording of nothing has places, too."""
        assert 0 <= Axis(Recording((), (), (), (), 0)).at(5) <= 1
