"""Big buffers that are handed over by descriptor: whole, in order, and nothing else is believed."""

import os
import socket
import struct
from pathlib import Path

import pytest
from bulkhead_kernel.shared import records
from bulkhead_kernel.shared.handover import LEAST, MOST, Handed, Handover, HandoverError
from bulkhead_kernel.shared.records import Kind, RecordError


@pytest.fixture
def raw():
    """Two ends of a socket as there is one for each worker."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def ends(raw):
    giver, taker = (Handover(end.fileno()) for end in raw)
    yield giver, taker
    giver.close()
    taker.close()


def descriptors():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_what_is_given_is_taken(ends):
    """G1: bytes are bytes, in the order in which they were given."""
    giver, taker = ends
    buffers = [os.urandom(LEAST + n) for n in range(3)]
    handed = [giver.give(buffer) for buffer in buffers]
    assert [taker.take(each) for each in handed] == buffers


def test_what_nobody_announced_is_passed_over(ends):
    """A signal's exception between giving a buffer and writing its record costs it alone."""
    giver, taker = ends
    giver.give(b"lost" * LEAST)
    kept = giver.give(b"kept" * LEAST)
    before = descriptors()
    assert taker.take(kept) == b"kept" * LEAST
    assert descriptors() == before  # a mapping on Python 3.11 to 3.12 keeps one, as its own copy


@pytest.mark.parametrize("buffers", [MOST - 1, MOST + 3])
def test_a_record_is_what_it_was(ends, buffers):
    """G1, G26: through a frame and back; what is too much for the socket stays in the record."""
    giver, taker = ends
    parts = [b"display_data", b"{}", b"{}", b"small", *[os.urandom(LEAST) for _ in range(buffers)]]
    given = records.hand_over(Kind.PUBLISH, parts, giver)
    assert sum(isinstance(part, Handed) for part in given) == min(buffers, MOST)
    frame = b"".join(map(bytes, records.encode(Kind.PUBLISH, 7, given, (1, 2))))
    record = records.taken(records.decode(frame[12:]), taker)
    assert (record.kind, record.number, record.marks) == (Kind.PUBLISH, 7, (1, 2))
    assert record.parts == parts


def test_nothing_is_announced_twice(ends):
    """G26: a number that was taken, or never given, is an error."""
    giver, taker = ends
    handed = giver.give(b"x" * LEAST)
    taker.take(handed)
    with pytest.raises(HandoverError, match="twice"):
        taker.take(handed)
    with pytest.raises(HandoverError, match="not handed over"):
        taker.take(Handed(99, LEAST))


def test_only_sealed_memory_is_mapped(raw, ends):
    """G26: memory that a worker can shorten afterwards would end the supervisor that reads it."""
    _, taker = ends
    fd = os.memfd_create("unsealed")
    os.truncate(fd, LEAST)
    socket.send_fds(raw[0], [struct.pack("<Q", 1)], [fd])
    os.close(fd)
    with pytest.raises(HandoverError, match="not sealed"):
        taker.take(Handed(1, LEAST))


def test_a_buffer_has_the_size_that_it_claims(ends):
    """G26: beyond the end of a mapping is a bus error."""
    giver, taker = ends
    handed = giver.give(b"x" * LEAST)
    with pytest.raises(HandoverError, match="shorter"):
        taker.take(handed._replace(size=2 * LEAST))


@pytest.mark.parametrize("packet", [b"", b"\0" * 7, struct.pack("<Q", 1)])
def test_a_packet_that_is_no_buffer(raw, ends, packet):
    """G26: foreign bytes on the socket are an error, and no more."""
    raw[0].send(packet)
    with pytest.raises(HandoverError):
        ends[1].take(Handed(1, LEAST))


def test_only_buffers_are_handed_over():
    """G26: the content of a message is signed and sent as it is in the record."""
    handed = records.encode(Kind.PUBLISH, 1, [Handed(1, LEAST), b"{}", b"{}"])
    with pytest.raises(RecordError, match="only buffers"):
        records.decode(b"".join(map(bytes, handed))[12:])


def test_a_full_socket_keeps_nobody_waiting(ends):
    """What cannot be handed over goes through the pipe."""
    giver, _ = ends
    buffer = b"x" * LEAST
    for _ in range(10_000):
        if giver.give(buffer) is None:
            break
    else:
        pytest.fail("the socket takes any number of buffers")
