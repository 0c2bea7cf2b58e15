"""Amounts of memory in words: what an option may say, and what a text shows."""

from __future__ import annotations

import pytest
from bulkhead_kernel.shared import sizes
from hypothesis import example, given
from hypothesis import strategies as st

UNITS = {"": 1, "k": 1 << 10, "M": 1 << 20, "g": 1 << 30, "T": 1 << 40}


class TestParse:
    @pytest.mark.parametrize(
        ("text", "size"),
        [
            ("4GiB", 4 << 30),
            ("512M", 512 << 20),
            ("512 mb", 512 << 20),
            ("1.5 GB", 3 << 29),
            (" 2g ", 2 << 30),
            ("268435456", 256 << 20),
            ("1TiB", 1 << 40),
            ("1k", 1024),
        ],
    )
    def test_what_people_write(self, text, size):
        """Issue, 5: --memory-limit takes '4GiB' and its like; units are powers of 1024."""
        assert sizes.parse(text) == size

    @given(
        st.integers(1, 1 << 20), st.sampled_from(sorted(UNITS)), st.sampled_from(["", "B", "iB"])
    )
    def test_every_unit_in_every_spelling(self, number, unit, rest):
        """Issue, 5: a whole number of a unit is exactly that many bytes."""
        assert sizes.parse(f"{number}{unit}{rest}") == number * UNITS[unit]

    @given(st.text())
    @example("9" * 400)
    @example("9" * 400 + "TiB")
    @example("-1")
    @example("0")
    @example("0.0001")
    @example("nan")
    @example("inf")
    @example("1e9")
    @example("\N{SUPERSCRIPT TWO}")
    @example("\N{ARABIC-INDIC DIGIT FIVE}")
    @example("5 5")
    @example("")
    def test_anything_else_is_a_value_error_that_names_it(self, text):
        """Issue, 5: bad values give a clear error and never another exception."""
        try:
            size = sizes.parse(text)
        except ValueError as error:
            assert repr(text) in str(error)  # noqa: PT017 - either is right
            assert "4GiB" in str(error)  # noqa: PT017
        else:
            assert 0 < size < 1 << 62


class TestShow:
    @pytest.mark.parametrize(
        ("size", "words"),
        [
            (0, "0.0 MiB"),
            (1 << 19, "0.5 MiB"),
            (31 << 20, "31 MiB"),
            (512 << 20, "512 MiB"),
            (2 << 30, "2.0 GiB"),
            (-(3 << 20), "-3.0 MiB"),
        ],
    )
    def test_as_people_say_it(self, size, words):
        """G39: texts name limit and peak in words of this form."""
        assert sizes.show(size) == words

    @given(st.integers(1 << 20, 1 << 50))
    def test_what_is_shown_can_be_read_again(self, size):
        """G39: a number from a text can be put on the command line; it is right to 5 %."""
        assert sizes.parse(sizes.show(size)) == pytest.approx(size, rel=0.05)
