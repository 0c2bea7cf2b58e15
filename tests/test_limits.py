"""Why a cell is interrupted, as one number in the ledger, and in words."""

from __future__ import annotations

import pytest
from bulkhead_kernel.shared.limits import NO_LIMITS, Limits, Why, slot_of, why_of
from hypothesis import given
from hypothesis import strategies as st

numbers = st.integers(0, 1 << 60)
LIMITS = Limits(2 << 30, 10.0, 2.5)


class TestTheLedgersNumber:
    @given(st.sampled_from(Why), numbers)
    def test_says_why_the_request_is_interrupted(self, why, number):
        """G39: what Control writes, the worker reads."""
        assert slot_of(why, number) < 1 << 64
        assert why_of(slot_of(why, number), number) is why

    @given(st.sampled_from(Why), numbers, numbers)
    def test_says_nothing_of_any_other_request(self, why, number, other):
        """G27: a limit of one cell never explains the interrupt of another."""
        if other != number:
            assert why_of(slot_of(why, number), other) is Why.USER

    @given(st.integers(0, (1 << 64) - 1), numbers)
    def test_any_number_can_be_read(self, slot, number):
        """G19: native code that runs wild over the ledger makes no error of its own."""
        assert why_of(slot, number) in Why


class TestErrors:
    @pytest.mark.parametrize(
        ("why", "kind", "words"),
        [
            (Why.MEMORY, MemoryError, ("2.0 GiB", "--memory-limit")),
            (Why.CPU, TimeoutError, ("10 s", "--cpu-limit")),
            (Why.WALL, TimeoutError, ("2.5 s", "--cell-timeout")),
        ],
    )
    def test_name_the_limit_and_its_option(self, why, kind, words):
        """G39: the text names the limit."""
        error = LIMITS.error(why)
        assert type(error) is kind
        for word in words:
            assert word in str(error)

    def test_without_a_limit_it_is_the_user(self):
        """G27: an ordinary interrupt is a KeyboardInterrupt and says nothing."""
        assert repr(NO_LIMITS.error(Why.USER)) == "KeyboardInterrupt()"
        assert NO_LIMITS.sentence(Why.USER) == ""
