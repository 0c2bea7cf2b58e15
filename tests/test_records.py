"""Records: what one process tells the other comes out as it went in; any bytes are told apart."""

from __future__ import annotations

import struct

import pytest
from bulkhead_kernel.shared.frames import Decoder, FrameError
from bulkhead_kernel.shared.records import PARTS, Kind, Record, RecordError, decode, encode
from hypothesis import example, given
from hypothesis import strategies as st

HEAD = struct.Struct("<BQQQI")
NUMBERS = st.integers(min_value=0, max_value=(1 << 64) - 1)


@st.composite
def record_lists(draw):
    return draw(st.lists(records(), max_size=6))


@st.composite
def records(draw):
    kind = draw(st.sampled_from(Kind))
    fewest = PARTS[kind].start
    most = min(PARTS[kind].stop - 1, fewest + 3)
    parts = draw(st.lists(st.binary(max_size=30), min_size=fewest, max_size=most))
    return Record(kind, draw(NUMBERS), (draw(NUMBERS), draw(NUMBERS)), parts)


def stream_of(record):
    pieces = encode(record.kind, record.number, record.parts, record.marks)
    return b"".join(pieces)


def payload_of(kind, parts, number=0, marks=(0, 0)):
    (payload,) = Decoder().feed(b"".join(encode(kind, number, parts, marks)))
    return payload


def head(code, sizes, number=0, marks=(0, 0)):
    return HEAD.pack(code, number, *marks, len(sizes)) + struct.pack(f"<{len(sizes)}Q", *sizes)


class TestWhatIsToldIsHeard:
    @given(records())
    def test_a_record_comes_back_as_it_was(self, record):
        """G1: kind, number, marks and every part survive the way, to the byte."""
        (payload,) = Decoder().feed(stream_of(record))
        assert decode(payload) == record

    @given(record_lists(), st.integers(min_value=1, max_value=50))
    def test_many_come_back_in_order_from_any_chunks(self, sent, size):
        """G1: the order of records is the order in which they were written."""
        stream = b"".join(map(stream_of, sent))
        decoder = Decoder()
        heard = [
            decode(payload)
            for start in range(0, len(stream), size)
            for payload in decoder.feed(stream[start : start + size])
        ]
        assert heard == sent

    @given(st.lists(st.binary(max_size=10), max_size=5))
    def test_parts_may_be_any_contiguous_buffer(self, parts):
        """Buffers of comms are written from where they lie: a view and its bytes are the same."""
        whole = [b"c", b"t", b"comm_msg", b"{}", b"{}", *parts]
        views = [memoryview(part) for part in whole]
        assert decode(payload_of(Kind.COMM, views)).parts == whole

    def test_every_kind_says_how_many_parts_it_has(self):
        """G26: there is no kind whose number of parts is not checked."""
        assert set(PARTS) == set(Kind)


class TestADeathInTheMiddle:
    def test_every_length_of_a_torn_record_is_dropped(self):
        """G20: die after k bytes of a record, for every k: the ones before it are heard, only."""
        first = Record(Kind.STDOUT, 1, (3, 4), [b"printed"])
        torn = Record(Kind.DONE, 1, (3, 4), [b"1", b"0", b"execute_reply", b"{}", b"{}"])
        before, last = stream_of(first), stream_of(torn)
        for k in range(len(last)):
            payloads = Decoder().feed(before + last[:k])
            assert [decode(payload) for payload in payloads] == [first]


class TestForeignBytes:
    @given(st.binary(max_size=200))
    @example(b"")
    @example(HEAD.pack(3, 0, 0, 0, 65_535))
    @example(head(3, [(1 << 64) - 1, 1]))
    def test_are_a_record_or_a_record_error_and_nothing_else(self, payload):
        """G26: no payload makes ``decode`` raise anything but RecordError."""
        try:
            record = decode(payload)
        except RecordError:
            return
        assert payload_of(record.kind, record.parts, record.number, record.marks) == payload

    @given(records(), st.data())
    def test_a_bent_record_is_another_record_or_an_error(self, record, data):
        """G26: a record with one changed byte does no more than say something else."""
        stream = bytearray(stream_of(record))
        at = data.draw(st.integers(min_value=0, max_value=len(stream) - 1))
        stream[at] = data.draw(st.integers(min_value=0, max_value=255))
        try:
            for payload in Decoder().feed(stream):
                decode(payload)
        except (FrameError, RecordError):
            pass

    @pytest.mark.parametrize("length", range(HEAD.size))
    def test_a_short_head_is_told(self, length):
        """G26: what is too short to be a record is named as such."""
        with pytest.raises(RecordError, match="a record's head is cut short"):
            decode(bytes(length))

    @pytest.mark.parametrize("code", sorted(set(range(256)) - set(Kind)))
    def test_an_unknown_kind_is_told(self, code):
        """G26: a kind that is not in the list is refused by its number."""
        with pytest.raises(RecordError, match=f"no record is of kind {code} with 0 parts"):
            decode(head(code, []))

    @pytest.mark.parametrize("kind", Kind)
    def test_the_wrong_number_of_parts_is_told(self, kind):
        """G26: handlers unpack parts without looking; so each kind's number of parts is checked."""
        allowed = PARTS[kind]
        for count in {allowed.start - 1, *range(allowed.stop, 8)} - {-1}:
            with pytest.raises(RecordError, match=f"no record is of kind {int(kind)} with {count}"):
                decode(head(kind, [0] * count))

    @pytest.mark.parametrize(
        "payload",
        [
            head(Kind.STDOUT, [4]) + b"abc",  # a part that goes on behind the end
            head(Kind.STDOUT, [2]) + b"abc",  # bytes that belong to no part
            head(Kind.LOG, [1, 1]) + b"abc",
            head(Kind.LOG, [(1 << 64) - 1, 4]) + b"abc",  # sizes whose sum wraps around in C
            head(Kind.HELLO, []) + b"x",
        ],
    )
    def test_sizes_that_lie_are_told(self, payload):
        """G26: the parts of a record fill it, no more and no less."""
        with pytest.raises(RecordError, match="do not fill it"):
            decode(payload)

    def test_a_count_of_parts_that_are_not_there_takes_no_memory(self):
        """G26: 65,535 announced parts in an empty record are a short head."""
        with pytest.raises(RecordError, match="cut short"):
            decode(HEAD.pack(Kind.PUBLISH, 0, 0, 0, 65_535))
