"""The ring of samples: what the worker reads of what the supervisor writes."""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from itertools import pairwise

import pytest
from bulkhead_kernel.shared import samples
from bulkhead_kernel.shared.samples import CAPACITY, SIZE, Reader, Sample, Writer, reader_of

LAPS = 6


@pytest.fixture
def block():
    fd = samples.create()
    yield fd
    os.close(fd)


@contextmanager
def writing(block, count):
    """Let another process write so many samples."""
    code = f"""
from bulkhead_kernel.shared.samples import Sample, Writer
writer = Writer({block})
for n in range({count}):
    writer.append(Sample(n, n + 0.25, n + 0.5, n, n * 2))
"""
    with subprocess.Popen([sys.executable, "-c", code], pass_fds=[block]) as process:
        yield process
    assert process.returncode == 0


def sample(number):
    """A sample whose fields all tell whether they belong together."""
    return Sample(number, number + 0.25, number + 0.5, number, number * 2)


class TestRing:
    def test_begins_empty(self, block):
        """Issue, 3: before anything has run there is nothing to show."""
        assert Reader(reader_of(block)).read() == []

    @pytest.mark.parametrize("count", [1, CAPACITY - 1, CAPACITY - 2])
    def test_gives_all_while_it_has_room(self, block, count):
        """Issue, 3: every sample, oldest first."""
        writer, reader = Writer(block), Reader(reader_of(block))
        for number in range(count):
            writer.append(sample(number))
        assert reader.read() == [sample(number) for number in range(count)]

    @pytest.mark.parametrize("more", [0, 1, 2, CAPACITY, CAPACITY + 7])
    def test_goes_round(self, block, more):
        """Issue, 3: then the newest; the oldest one may be half overwritten and is left out."""
        writer, reader = Writer(block), Reader(reader_of(block))
        count = CAPACITY + more
        for number in range(count):
            writer.append(sample(number))
        assert reader.read() == [sample(number) for number in range(count - CAPACITY + 1, count)]

    def test_a_reader_that_comes_later_sees_what_was_before(self, block):
        """Issue, 3: the block outlives workers: what led to a death is there for the next one."""
        writer = Writer(block)
        writer.append(sample(1))
        assert Reader(reader_of(block)).read() == Reader(reader_of(block)).read() == [sample(1)]

    def test_the_count_is_never_half_written(self, block):
        """Issue, 3: the number of samples only grows, at whatever moment one looks."""
        reader = Reader(reader_of(block))
        last, looks = 0, 0
        with writing(block, 300_000) as process:
            while process.poll() is None:
                for _ in range(1000):
                    count = reader._counted[0]
                    assert count >= last, f"{count} came after {last}, at look {looks}"
                    last, looks = count, looks + 1
        assert reader._counted[0] == 300_000

    def test_what_is_overwritten_meanwhile_is_left_out(self, block):
        """Issue, 3: no torn sample and none out of order, however fast the other side writes."""
        reader = Reader(reader_of(block))
        newest = 0
        with writing(block, CAPACITY * LAPS) as process:
            while process.poll() is None:
                seen = reader.read()
                assert all(each == sample(each.number) for each in seen)
                assert all(b.number == a.number + 1 for a, b in pairwise(seen))
                assert not seen or seen[-1].number >= newest
                newest = seen[-1].number if seen else 0
        assert reader.read()[-1] == sample(CAPACITY * LAPS - 1)


class TestReadingOnly:
    def test_the_descriptor_cannot_be_written(self, block):
        """Race of the issue: a worker that runs wild cannot spoil the curve of its successor."""
        fd = reader_of(block)
        try:
            with pytest.raises(OSError) as refused:
                os.pwrite(fd, b"x", 0)
            assert refused.value.errno == errno.EBADF
            with pytest.raises(PermissionError):
                mmap.mmap(fd, SIZE)
        finally:
            os.close(fd)

    def test_the_map_cannot_be_written(self, block):
        """... nor through what is mapped."""
        reader = Reader(reader_of(block))
        with pytest.raises(TypeError):
            reader._map[0:1] = b"x"

    def test_nothing_is_inherited(self, block):
        """G38: programs that the user's code starts are given neither descriptor."""
        fd = reader_of(block)
        try:
            assert not os.get_inheritable(block)
            assert not os.get_inheritable(fd)
        finally:
            os.close(fd)

    def test_the_reader_keeps_no_descriptor_of_its_own(self, block):
        """The number that was handed over is free again."""
        fd = reader_of(block)
        reader = Reader(fd)
        assert reader.read() == []
        with pytest.raises(OSError):
            os.fstat(fd)


def test_threads_may_read_at_once(block):
    """Issue, 3: a cell's threads may ask for the picture, too."""
    writer = Writer(block)
    for number in range(CAPACITY):
        writer.append(sample(number))
    reader = Reader(reader_of(block))
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(reader.read())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [reader.read()] * 4
