"""The ledger: what both processes see without a message, and the count that keeps bytes in place.

A record says how many bytes were written to descriptor 1 before it: those that the supervisor took
out and those that still wait in the pipe. Between the two, bytes are in nobody's count; the
sequence says so, and the worker looks again.
"""

from __future__ import annotations

import fcntl
import gc
import os
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from itertools import accumulate

import pytest
from bulkhead_kernel.shared.ledger import SIZE, Ledger, Slot, create

ROUNDS = 3_000
MARK = struct.Struct("<Q")


@pytest.fixture
def views():
    """Two views of one block, as two processes have them."""
    fd = create()
    views = Ledger(fd), Ledger(fd)
    os.close(fd)
    return views


class TestTwoViewsOfOneBlock:
    @pytest.mark.parametrize("slot", Slot)
    def test_see_the_same_number(self, views, slot):
        """A number that one side writes is there for the other, in this slot and in no other."""
        ours, theirs = views
        ours[slot] = (1 << 64) - 1
        assert {slot: theirs[slot] for slot in Slot} == dict.fromkeys(Slot, 0) | {
            slot: (1 << 64) - 1
        }

    def test_begin_with_nothing(self, views):
        """A new worker's block has no number of an earlier one in it (G27)."""
        assert [views[0][slot] for slot in Slot] == [0] * len(Slot)
        assert repr(views[0]).startswith("<Ledger {'SEQUENCE': 0, 'CONSUMED_1': 0,")

    def test_the_block_is_not_inherited(self):
        """G38: a process that user code starts is not given the block."""
        fd = create()
        try:
            assert not os.get_inheritable(fd)
            assert os.fstat(fd).st_size == SIZE
        finally:
            os.close(fd)

    def test_without_memfd_a_file_without_a_name_does(self, monkeypatch):
        """macOS has no memfd; the block is the same."""
        monkeypatch.delattr(os, "memfd_create", raising=False)
        fd = create()
        ours, theirs = Ledger(fd), Ledger(fd)
        os.close(fd)
        ours[Slot.SENT] = 7
        assert theirs[Slot.SENT] == 7
        del ours, theirs
        gc.collect()


class TestTheRequestThatRuns:
    @pytest.mark.parametrize(
        ("sent", "ended", "running"), [(0, 0, 0), (1, 0, 1), (1, 1, 0), (5, 1, 5), (5, 5, 0)]
    )
    def test_is_the_newest_one_unless_it_has_ended(self, views, sent, ended, running):
        """G27: an interrupt is meant for what was sent and has not ended, or for nothing."""
        views[0][Slot.SENT], views[1][Slot.ENDED] = sent, ended
        assert views[0].running() == running


class TestBytesAreCountedOnce:
    def test_while_they_wait_in_the_pipe(self, views):
        """G6: bytes that nobody has read count for the pipe in which they are."""
        assert views[1].written(lambda: (3, 4)) == (3, 4)

    def test_after_they_were_read(self, views):
        """G6: bytes that were read stay counted, each descriptor's for itself."""
        supervisor, worker = views
        assert supervisor.consume(Slot.CONSUMED_1, lambda: b"abc") == b"abc"
        assert supervisor.consume(Slot.CONSUMED_2, lambda: b"de") == b"de"
        assert supervisor.consume(Slot.CONSUMED_1, lambda: b"f") == b"f"
        assert worker.written(lambda: (10, 20)) == (14, 22)

    def test_a_worker_that_looks_in_the_middle_of_a_read_looks_again(self, views):
        """G6: while the sequence is odd, a byte may be in no count; so no mark is made then."""
        supervisor, worker = views
        supervisor[Slot.SEQUENCE] = 1
        looks = []

        def waiting():
            looks.append(len(looks))
            if len(looks) == 3:  # the supervisor has counted what it took
                supervisor[Slot.CONSUMED_1] = 5
                supervisor[Slot.SEQUENCE] = 2
            return (0, 0)

        assert worker.written(waiting) == (5, 0)
        assert looks == [0, 1, 2, 3]

    def test_a_read_that_came_between_two_looks_is_noticed(self, views):
        """G6: an even sequence is not enough; it must be the same before and after."""
        supervisor, worker = views
        pipe = bytearray(b"abcdef")

        def read():
            data = bytes(pipe[:4])
            del pipe[:4]
            return data

        looks = []

        def waiting():
            looks.append(len(pipe))
            if len(looks) == 1:
                supervisor.consume(Slot.CONSUMED_1, read)
            return (looks[-1], 0)

        assert worker.written(waiting) == (6, 0)
        assert looks == [6, 2]

    def test_a_read_that_fails_leaves_the_sequence_even(self, views):
        """G6: nothing to read is no reason to keep the worker waiting for ever."""
        supervisor, worker = views

        def read():
            raise BlockingIOError

        with pytest.raises(BlockingIOError):
            supervisor.consume(Slot.CONSUMED_1, read)
        assert supervisor[Slot.SEQUENCE] == 2
        assert worker.written(lambda: (1, 0)) == (1, 0)


class TestTwoProcesses:
    def test_agree_on_every_mark(self):
        """G6: a process that writes and one that reads as fast as they can: every mark is right."""
        block, (out, for_out), (marks, for_marks) = create(), os.pipe(), os.pipe()
        theirs = (block, for_out, for_marks)
        with subprocess.Popen(
            [sys.executable, __file__, *map(str, theirs)], pass_fds=theirs
        ) as worker:
            ledger = Ledger(block)
            for fd in theirs:
                os.close(fd)
            found = _read_and_count(ledger, out, marks)
        os.close(out)
        os.close(marks)
        assert worker.returncode == 0
        assert found == list(accumulate(map(_size, range(ROUNDS))))
        assert ledger[Slot.CONSUMED_1] == found[-1]


def _size(turn):
    return 1 + turn % 7


def _write_and_count(block, out, marks):
    """Be the worker: write some bytes, then say how many there were, again and again."""
    ledger = Ledger(block)

    def waiting():
        return struct.unpack("i", fcntl.ioctl(out, termios.FIONREAD, bytes(4)))[0], 0

    for turn in range(ROUNDS):
        os.write(out, b"x" * _size(turn))
        mark, _ = ledger.written(waiting)
        os.write(marks, MARK.pack(mark))


def _read_and_count(ledger, out, marks):
    """Be IOPub: read both pipes until the worker is gone; give the marks."""

    def read():
        data = os.read(out, 64)
        os.sched_yield()  # the bytes are in nobody's count: keep it so for a moment
        return data

    readers = {
        out: lambda: ledger.consume(Slot.CONSUMED_1, read),
        marks: lambda: os.read(marks, 4096),
    }
    found = {out: bytearray(), marks: bytearray()}
    for fd in readers:
        os.set_blocking(fd, False)
    while readers:
        for fd, take in tuple(readers.items()):
            with suppress(BlockingIOError):
                data = take()
                found[fd] += data
                if not data:
                    del readers[fd]
    return [mark for (mark,) in MARK.iter_unpack(found[marks])]


if __name__ == "__main__":
    _write_and_count(*map(int, sys.argv[1:]))
