"""What the kernel used over time: a ring of samples in shared memory.

The supervisor writes, the worker reads (``%resources``). The block outlives workers, so that the
picture shows what led to a death, too. The worker gets a descriptor that cannot be written to.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING

from . import blocks
from .tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_COUNT_SIZE = 8
_SAMPLE = struct.Struct("<ddddd")
CAPACITY = 8192
SIZE = _COUNT_SIZE + CAPACITY * _SAMPLE.size


class Sample(NamedTuple):
    """What the worker and its children used at one moment."""

    time: float
    """Seconds since the epoch."""
    memory: float
    """Bytes resident of the worker, and what its children do not share."""
    cpu: float
    """Seconds of processor time since the worker's start."""
    number: float
    """Of the request that ran; 0 if none did."""
    generation: float
    """Of the worker, from 1."""


def create() -> int:
    """Make an anonymous block and give its file descriptor (not inheritable)."""
    return blocks.create("bulkhead-samples", SIZE)


def reader_of(fd: int) -> int:
    """Give a descriptor of the same block that can only be read."""
    return blocks.reopen_for_reading(fd)


class Writer:
    """The supervisor's view."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, SIZE)
        self._counted = _count_of(self._map)
        self._count = 0

    def append(self, sample: Sample) -> None:
        """Write a sample over the oldest one; then count it, so that a reader finds it whole."""
        offset = _COUNT_SIZE + self._count % CAPACITY * _SAMPLE.size
        _SAMPLE.pack_into(self._map, offset, *sample)
        self._count += 1
        self._counted[0] = self._count


class Reader:
    """The worker's view."""

    def __init__(self, fd: int) -> None:
        """Map the block behind ``fd``, and close the descriptor."""
        self._map = mmap.mmap(fd, SIZE, prot=mmap.PROT_READ)
        self._counted = _count_of(self._map)
        os.close(fd)

    def read(self) -> list[Sample]:
        """Give the samples that are there, oldest first."""
        before = self._counted[0]
        samples = list(self._samples(max(0, before - CAPACITY), before))
        # What was written meanwhile, and the one that may be half written, went over the oldest.
        overwritten = self._counted[0] + 1 - CAPACITY - max(0, before - CAPACITY)
        return samples[max(0, overwritten) :]

    def _samples(self, start: int, end: int) -> Iterator[Sample]:
        for at in range(start, end):
            offset = _COUNT_SIZE + at % CAPACITY * _SAMPLE.size
            yield Sample(*_SAMPLE.unpack_from(self._map, offset))


def _count_of(block: mmap.mmap) -> memoryview:
    """Give the count of samples ever written, as something that is read and written at once.

    struct writes it byte by byte, over zeros: a reader would now and then see a ring with nothing
    in it, or with samples that are yet to come.
    """
    return memoryview(block)[:_COUNT_SIZE].cast("Q")
