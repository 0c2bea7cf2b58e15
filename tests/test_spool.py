"""Text and messages in shared memory: all of it, in order, and nothing else is believed."""

import os
import struct
from itertools import pairwise

import pytest
from bulkhead_kernel.shared import ledger as ledgers
from bulkhead_kernel.shared import spool
from bulkhead_kernel.shared.handover import LEAST, Handed
from bulkhead_kernel.shared.ledger import Ledger, Slot
from bulkhead_kernel.shared.records import Kind, Record, RecordError, encode, whole
from hypothesis import given
from hypothesis import strategies as st

TEXTS = st.tuples(
    st.sampled_from([Kind.STDOUT, Kind.STDERR]),
    st.integers(0, 3),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.binary(min_size=1, max_size=spool.LONGEST),
)


PARTS = st.lists(st.binary(max_size=40), min_size=5, max_size=7)
MESSAGES = st.builds(
    Record, st.sampled_from(sorted(spool.MESSAGES)), st.integers(0, 3), st.just((1, 2)), PARTS
)
ENDS = st.just(b"\n")  # of a line that the text before it has begun, or nothing
FEW = st.tuples(
    st.sampled_from([Kind.STDOUT, Kind.STDERR]),
    st.integers(0, 1),
    st.tuples(st.integers(0, 1), st.just(0)),
    st.text("a\n\xff", min_size=1, max_size=3).map(str.encode),
)


class Both:
    """The two ends of one spool, which begins somewhere."""

    def __init__(self, start=0):
        fd, block = ledgers.create(), spool.create()
        self.ledger = Ledger(fd)
        self.ledger[Slot.SPOOLED] = self.ledger[Slot.TAKEN] = start
        self.reader = spool.Reader(block, Ledger(fd))
        self.reader._taken = start
        self.writer = spool.Writer(block, Ledger(fd))
        os.close(fd)

    def take(self):
        return list(self.reader.take(self.reader.end()))


def joined(entries):
    """Join neighbours that differ in their text only."""
    out = []
    for *head, text in entries:
        if out and out[-1][0] == head:
            out[-1][1] += text
        else:
            out.append([head, text])
    return [(*head, text) for head, text in out]


def told(taken):
    return [(each.kind, each.number, each.marks, each.parts[0]) for each in taken]


@given(st.integers(0, 3 * spool.SIZE), st.lists(st.lists(TEXTS, max_size=6), max_size=6))
def test_what_is_spooled_is_taken(start, rounds):
    """G1, G18: wherever in the ring it stands, and however often somebody looks."""
    both = Both(start)
    for entries in rounds:
        fitting = [entry for entry in entries if both.writer.append(*entry)]
        assert told(both.take()) == joined(fitting)
        assert both.reader.taken == both.reader.end()


@given(
    st.integers(0, 3 * spool.SIZE),
    st.lists(st.lists(st.one_of(FEW, FEW, ENDS, MESSAGES), max_size=9), max_size=5),
)
def test_text_and_messages_keep_their_order(start, rounds):
    """G1, G5: whatever is spooled, and whenever somebody looks, even between a line and its end."""
    both = Both(start)
    last, said, taken = None, [], []
    for entries in rounds:
        for entry in entries:
            if isinstance(entry, Record):
                assert both.writer.append_record(entry.kind, whole(*entry[:2], entry.parts, (1, 2)))
                said.append((entry.kind, entry.number, entry.marks, tuple(entry.parts)))
                last = None
            elif isinstance(entry, tuple):
                assert both.writer.append(*entry)
                said.append(entry)
                last = entry[:3]
            elif last:
                assert both.writer.end_line()
                said.append((*last, entry))
        taken += [
            (*each[:3], each.parts[0] if len(each.parts) == 1 else tuple(each.parts))
            for each in both.take()
        ]
    assert whole_texts(taken) == whole_texts(said)


def whole_texts(entries):
    """Join all neighbours of one stream, request and place, however they were taken."""
    out = []
    for entry in entries:
        if out and isinstance(entry[3], bytes) and out[-1][:3] == entry[:3]:
            out[-1] = (*entry[:3], out[-1][3] + entry[3])
        else:
            out.append(entry)
    return out


def test_the_end_of_a_line_needs_room():
    """G1: what was said is never overwritten by one byte either."""
    both = Both(7 + spool.SIZE)
    assert both.writer.append(Kind.STDOUT, 1, (0, 0), b"x")
    both.ledger[Slot.TAKEN] = both.reader.end() - spool.SIZE
    assert not both.writer.end_line()
    both.ledger[Slot.TAKEN] += 1
    assert both.writer.end_line()


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        struct.pack("<BI", 0xFF, 1) + b"x",
        struct.pack("<BI", 0xFF, 1)[:3],
        struct.pack("<BQQQI", Kind.DONE, 1, 0, 0, 1) + b"x",
    ],
)
def test_text_of_nobody_is_an_error(data):
    """G26: there is no text before it whose stream and request it could have."""
    both = Both()
    begin = whole(Kind.PUBLISH, 1, [b"display_data", b"{}", b"{}"])
    both.writer.append_record(Kind.PUBLISH, begin)
    end = both.ledger[Slot.SPOOLED]
    both.writer._map[end : end + len(data)] = data
    both.ledger[Slot.SPOOLED] = end + len(data)
    with pytest.raises(RecordError):
        both.take()
    assert not both.reader.is_sane


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        (Kind.COMM, whole(Kind.PUBLISH, 1, [b"display_data", b"{}", b"{}"])),
        (Kind.PUBLISH, whole(Kind.DONE, 1, [b"1", b"0", b"", b"{}", b"{}"])),
        (Kind.PUBLISH, b"noise that is no record"),
        (
            Kind.PUBLISH,
            b"".join(encode(Kind.PUBLISH, 1, [b"x", b"{}", b"{}", Handed(1, LEAST)]))[12:],
        ),
    ],
)
def test_a_message_is_what_its_entry_says(kind, record):
    """G26: one record of that kind, and nothing that was handed over."""
    both = Both()
    both.writer.append_record(kind, record)
    with pytest.raises(RecordError):
        both.take()
    assert not both.reader.is_sane


def test_a_full_spool_takes_no_more():
    """G1: what was said is never overwritten; what does not fit goes another way."""
    both = Both(12345)
    text = b"x" * spool.LONGEST
    count = 0
    while both.writer.append(Kind.STDOUT, 1, (0, 0), text):
        count += 1
    assert 6 <= count < spool.SIZE // spool.LONGEST + 1
    assert told(both.take()) == [(Kind.STDOUT, 1, (0, 0), text * count)]
    assert both.writer.append(Kind.STDOUT, 1, (0, 0), text)


def test_text_up_to_a_mark_is_taken_up_to_there():
    """G1: a record stands between two texts."""
    both = Both()
    ends = [both.reader.end()]
    for letter in "abc":
        both.writer.append(Kind.STDOUT, 1, (0, 0), letter.encode())
        ends.append(both.reader.end())
    pieces = [told(both.reader.take(end)) for _, end in pairwise(ends)]
    assert [text for ((*_, text),) in pieces] == [b"a", b"b", b"c"]
    assert list(both.reader.take(ends[1])) == []  # a mark that was passed already


def test_a_beginning_stands_where_it_was_put():
    """G1, G2: the beginning of a request among the text of the one before it and its own."""
    both = Both(spool.SIZE - 50)
    both.writer.append(Kind.STDOUT, 1, (3, 0), b"late")
    begin = whole(Kind.BEGIN_CELL, 2, [b"7", b"", b"{}"], (4, 5))
    assert both.writer.append_record(Kind.BEGIN_CELL, begin)
    both.writer.append(Kind.STDOUT, 2, (4, 5), b"text")
    assert [tuple(each) for each in both.take()] == [
        (Kind.STDOUT, 1, (3, 0), [b"late"]),
        (Kind.BEGIN_CELL, 2, (4, 5), [b"7", b"", b"{}"]),
        (Kind.STDOUT, 2, (4, 5), [b"text"]),
    ]


def test_a_beginning_alone_is_no_news():
    """It wakes nobody, and nobody waits for more after it."""
    both = Both()
    both.writer.append_record(Kind.BEGIN, whole(Kind.BEGIN, 2, [b"7", b""]))
    assert len(both.take()) == 1
    assert not both.reader.is_news


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        (Kind.SPOOLED, []),
        (Kind.DONE, [b"1", b"0", b"", b"{}", b"{}"]),
        (Kind.REQUEST, [b"{}", b"{}", b"{}", b"{}"]),
    ],
)
def test_no_other_record_is_taken_from_it(kind, parts):
    """G26: only what a worker of ours puts there."""
    both = Both()
    both.writer.append_record(kind, whole(kind, 1, parts))
    with pytest.raises(RecordError):
        both.take()
    assert not both.reader.is_sane


@pytest.mark.parametrize("data", [b"noise that is no record", whole(Kind.BEGIN, 1, [b"1"])])
def test_a_record_that_is_none_is_an_error(data):
    """G26: torn or foreign, it is not waited for."""
    both = Both()
    both.writer.append_record(Kind.BEGIN, data)
    with pytest.raises(RecordError):
        both.take()
    assert not both.reader.is_sane


@given(st.binary(max_size=300))
def test_foreign_bytes_are_text_or_an_error(data):
    """G26: native code of the user's can run wild over the spool; reading it is total."""
    both = Both()
    both.writer._map[: len(data)] = data
    both.ledger[Slot.SPOOLED] = len(data)
    try:
        taken = both.take()
    except RecordError:
        assert not both.reader.is_sane
    else:
        known = (Kind.STDOUT, Kind.STDERR, *spool._RECORDS)
        assert all(each.kind in known for each in taken)


@pytest.mark.parametrize("end", [spool.SIZE + 1, 1 << 63])
def test_a_count_beyond_belief(end):
    """G26: more than there is room for was not spooled."""
    both = Both()
    both.ledger[Slot.SPOOLED] = end
    with pytest.raises(RecordError):
        both.take()
    assert not both.reader.is_sane
