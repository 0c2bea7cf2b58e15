"""Text on its way out: joined where that changes nothing, never split in a character, never late.

The tests write with ``Streams`` as IOPub does, against a clock that only they turn.
"""

from __future__ import annotations

from itertools import groupby

import pytest
from bulkhead_kernel.supervisor.streams import CAP, INTERVAL, PATIENCE, Captured, Streams, Text
from hypothesis import example, given
from hypothesis import strategies as st

NAMES = st.sampled_from(["stdout", "stderr"])
WRITES = st.lists(st.tuples(st.integers(1, 2), NAMES, st.text(max_size=5)), max_size=12)
PIECES = st.lists(st.binary(max_size=6), max_size=12)


def joined(texts):
    """Join neighbours of one stream and one request, as a client that shows them does."""
    return [
        Text(*key, "".join(text.text for text in group))
        for key, group in groupby(texts, lambda text: (text.number, text.name))
    ]


def write_all(streams, writes):
    return [text for write in writes for text in streams.add(*write)]


class TestStreams:
    @given(WRITES)
    def test_what_comes_out_is_what_went_in(self, writes):
        """G5: joined text equals what was written; streams and requests never change places."""
        streams = Streams()
        out = write_all(streams, writes) + streams.take()
        assert joined(out) == joined(Text(*write) for write in writes if write[2])

    @given(WRITES)
    def test_only_neighbours_of_one_stream_and_one_request_are_joined(self, writes):
        """G5: each message belongs to one stream and one request, and no two neighbours are left
        apart where nothing pushed them out.
        """
        streams = Streams()
        out = write_all(streams, writes) + streams.take()
        keys = [(text.number, text.name) for text in out]
        assert keys == [key for key, _ in groupby(keys)]
        assert all(text.text for text in out)

    @given(WRITES, st.lists(st.integers(0, 20), max_size=6))
    def test_pushing_out_early_changes_no_text(self, writes, places):
        """G5: whenever something else is published in between, text keeps its order."""
        streams, out = Streams(), []
        for at, write in enumerate(writes):
            out += streams.add(*write)
            if at in places:
                out += streams.take()
                assert streams.take() == []
        out += streams.take()
        assert joined(out) == joined(Text(*write) for write in writes if write[2])

    def test_text_of_another_stream_pushes_out_what_waits(self):
        """G5: stderr after stdout is two messages, in this order."""
        streams = Streams()
        assert streams.add(1, "stdout", "a") == []
        assert streams.add(1, "stdout", "b") == []
        assert streams.add(1, "stderr", "c") == [Text(1, "stdout", "ab")]
        assert streams.add(2, "stderr", "d") == [Text(1, "stderr", "c")]
        assert repr(streams) == "<Streams: 1 of 'stderr' waiting>"
        assert streams.take() == [Text(2, "stderr", "d")]

    def test_empty_text_is_nothing(self):
        """G5: writing '' publishes nothing, and pushes nothing out."""
        streams = Streams()
        streams.add(1, "stdout", "a")
        assert streams.add(1, "stderr", "") == []
        assert streams.add(1, "stdout", "b") == []
        assert streams.take() == [Text(1, "stdout", "ab")]

    @pytest.mark.parametrize("size", [CAP - 1, CAP, CAP + 1, 3 * CAP, 3 * CAP + 7])
    def test_no_message_is_longer_than_the_cap(self, size):
        """G35: a flood comes in pieces that do not hold up what is behind them."""
        streams = Streams()
        text = "ä" * size
        out = streams.add(1, "stdout", text) + streams.take()
        assert [len(text.text) for text in out] == [CAP] * (size // CAP) + [size % CAP] * (
            size % CAP > 0
        )
        assert joined(out) == [Text(1, "stdout", text)]

    def test_what_reaches_the_cap_does_not_wait(self):
        """G35: memory is bounded: as much as fits in one message waits, and no more."""
        streams = Streams()
        assert streams.add(1, "stdout", "x" * (CAP - 1)) == []
        assert streams.add(1, "stdout", "y") == [Text(1, "stdout", "x" * (CAP - 1) + "y")]
        assert streams.wait(1.0) is None


class TestTheClock:
    def test_a_first_line_goes_out_at_once(self):
        """G5: a lone print is not held back."""
        streams = Streams()
        streams.add(1, "stdout", "a\n")
        assert streams.wait(100.0) == 0.0
        assert streams.due(100.0) == [Text(1, "stdout", "a\n")]

    def test_a_line_without_its_end_waits_a_moment_for_it(self):
        """G5: ``print`` writes a text and its line's end by themselves; both go out together."""
        streams = Streams()
        streams.add(1, "stdout", "a")
        assert streams.due(100.0) == []
        assert streams.wait(100.0) == pytest.approx(PATIENCE)
        streams.add(1, "stdout", "\n")
        assert streams.wait(100.001) == 0.0
        assert streams.due(100.001) == [Text(1, "stdout", "a\n")]

    def test_a_line_that_never_ends_goes_out_all_the_same(self):
        """G5: ``print(end='')`` is shown within ten milliseconds, also while more of it comes."""
        streams = Streams()
        streams.add(1, "stdout", "a")
        assert streams.due(100.0) == []
        streams.add(1, "stdout", "b")
        assert streams.due(100.004) == []
        assert streams.due(100.0 + PATIENCE) == [Text(1, "stdout", "ab")]
        assert PATIENCE < 0.01

    def test_lines_that_follow_wait_for_their_interval(self):
        """G5: the second print waits for more of its kind, but never longer than the interval."""
        streams = Streams()
        streams.add(1, "stdout", "a\n")
        streams.due(100.0)
        streams.add(1, "stdout", "b\n")
        assert streams.due(100.0) == []
        assert streams.wait(100.0) == pytest.approx(INTERVAL)
        streams.add(1, "stdout", "c\n")
        assert streams.wait(100.0 + INTERVAL / 2) == pytest.approx(INTERVAL / 2)
        assert streams.due(100.0 + INTERVAL) == [Text(1, "stdout", "b\nc\n")]

    def test_a_line_after_silence_goes_out_at_once(self):
        """G5: who prints seldom never waits."""
        streams = Streams()
        for now in (1.0, 2.0, 3.0):
            streams.add(1, "stdout", "tick\n")
            assert streams.wait(now) == 0.0
            assert streams.due(now) == [Text(1, "stdout", "tick\n")]

    def test_nothing_is_due_when_nothing_waits(self):
        """G37: idle means silent: without text there is nothing to wake up for."""
        streams = Streams()
        assert streams.wait(1.0) is None
        assert streams.due(1.0) == []
        streams.add(1, "stdout", "a\n")
        streams.take()
        assert streams.wait(1.0) is None

    def test_looking_for_nothing_does_not_delay_what_comes_next(self):
        """G5: ``due`` with nothing to give does not start an interval."""
        streams = Streams()
        streams.due(5.0)
        streams.add(1, "stdout", "a\n")
        assert streams.wait(5.0) == 0.0

    def test_what_was_pushed_out_leaves_no_waiting_behind(self):
        """G5: the patience with a line that was pushed out is not counted against the next one."""
        streams = Streams()
        streams.add(1, "stdout", "a")
        streams.due(100.0)
        streams.add(1, "stderr", "b")
        assert streams.due(100.004) == []
        assert streams.wait(100.004) == pytest.approx(PATIENCE)

    @pytest.mark.parametrize("text", ["b", "b\n"])
    @pytest.mark.parametrize("start", [0.1, 1e3 + 0.1, 1e6 + 1 / 3, 3e7 + 0.7])
    def test_waiting_as_long_as_told_is_long_enough(self, start, text):
        """G37: after ``wait`` seconds ``due`` gives something: nobody spins for rounding's sake."""
        streams = Streams()
        streams.add(1, "stdout", "a\n")
        streams.due(start)
        streams.add(1, "stdout", text)
        later = start + INTERVAL / 3
        assert streams.due(later) == []
        assert streams.due(later + streams.wait(later) + 0.001) == [Text(1, "stdout", text)]

    @pytest.mark.parametrize("gap", [0.000_01, 0.000_3, 0.007, 0.015])
    @pytest.mark.parametrize("text", ["x", "x\n"])
    def test_a_flood_stays_under_a_hundred_messages_a_second(self, gap, text):
        """G35: however fast prints come, a browser gets fewer than a hundred messages a second."""
        streams, published = Streams(), []
        start = 50.0
        moments = [start + at * gap for at in range(int(1 / gap))]
        for now in moments:
            out = streams.add(1, "stdout", text) + streams.due(now)
            published += [(now, piece.text) for piece in out]
        rest = streams.take()
        assert published[0][0] <= start + gap + PATIENCE
        assert len(published) < 100
        assert "".join(piece for _, piece in published) + "".join(
            piece.text for piece in rest
        ) == text * len(moments)


class TestCaptured:
    @given(PIECES)
    @example([b"a\xc3", b"\xa4", b"\xf0\x9f", b"\x92", b"\xa9"])
    def test_bytes_become_the_text_that_they_are_together(self, pieces):
        """G5: no character is split at a chunk border, whatever the chunks."""
        captured = Captured()
        out = ""
        for piece in pieces:
            captured.add(piece)
            out += captured.release()
        out += captured.release(final=True)
        assert out == b"".join(pieces).decode("utf-8", "replace")

    @given(st.text(max_size=20), st.lists(st.integers(0, 60), max_size=8))
    def test_marks_cut_bytes_and_never_a_character(self, text, marks):
        """G5, G6: a record that stands in the middle of a character does not break it."""
        captured = Captured()
        captured.add(text.encode())
        out = [captured.release(mark) for mark in sorted(marks)]
        out.append(captured.release(final=True))
        assert "".join(out) == text
        assert not any("\ufffd" in piece for piece in out) or "\ufffd" in text

    @given(st.binary(max_size=20), st.lists(st.integers(0, 25), max_size=6))
    def test_marks_count_from_the_beginning_of_the_workers_life(self, data, marks):
        """G6: what stands before a mark is given before it, however it was read."""
        text = data.decode("latin-1")
        captured, out = Captured(), ""
        for at, mark in enumerate(sorted(marks)):
            captured.add(text[at : at + 1].encode("ascii", "replace"))
            assert captured.missing(mark) == max(0, mark - min(at + 1, len(text)))
            out += captured.release(mark)
            assert len(out) == min(mark, at + 1, len(text)) or mark < len(out)

    def test_bytes_behind_a_mark_wait(self):
        """G6: of what was read in one go, a record lets out only what stands before it."""
        captured = Captured()
        captured.add(b"before|after")
        assert captured.missing(6) == 0
        assert captured.release(6) == "before"
        assert repr(captured) == "<Captured: 6 bytes released, 6 waiting>"
        assert captured.release(6) == ""
        assert captured.release() == "|after"
        assert captured.missing(20) == 8

    def test_an_older_mark_takes_nothing_back(self):
        """G6: a record of another thread may count less; nothing is released twice."""
        captured = Captured()
        captured.add(b"abcdef")
        assert captured.release(4) == "abcd"
        assert captured.missing(2) == 0
        assert captured.release(2) == ""
        assert captured.release() == "ef"

    def test_what_a_dying_worker_left_of_a_character_is_shown_as_such(self):
        """G18: half a character at the end of a life is published as what it is: unreadable."""
        captured = Captured()
        captured.add(b"ok\xf0\x9f")
        assert captured.release() == "ok"
        assert captured.release(final=True) == "\ufffd"
        assert captured.release(final=True) == ""
