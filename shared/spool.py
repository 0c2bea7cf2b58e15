"""Printed text on its way to the supervisor: a ring in shared memory.

A record on the pipe costs a system call and wakes its reader; a loop that prints makes a hundred
thousand a second. What is copied here costs neither, and outlives the worker as a pipe's bytes do.
An entry carries what a record of text would: which stream, for which request, and its marks.
Or it is whole records of which nobody needs to hear at once: that a request has begun, and its
code. They wake nobody; the supervisor looks for them when a request takes longer than most.

Order holds because the pipe still says where the text belongs. Before any other record the worker
writes a SPOOLED record with the number of bytes that it has spooled until then, and the supervisor
takes the text up to there first. A SPOOLED record is also what wakes a supervisor that sleeps.

The counts stand in the ledger: SPOOLED is the worker's, TAKEN the supervisor's. Both only grow.
"""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING

from . import blocks
from .frames import Decoder, FrameError
from .ledger import Slot
from .records import PARTS, Kind, Record, RecordError, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .ledger import Ledger

SIZE = 1 << 20
LONGEST = SIZE // 8
"""Bytes of the longest text that goes this way; longer text is better off on the pipe."""

_HEAD = struct.Struct("<BQQQI")  # kind, number, marks, bytes of text
_WHOLE = 0  # in place of the kind: the text is frames of records, and the head says nothing else
_QUIET = (Kind.BEGIN, Kind.PUBLISH)
# Looked up once: a print is a matter of a microsecond.
_pack = _HEAD.pack
_SPOOLED, _TAKEN = int(Slot.SPOOLED), int(Slot.TAKEN)


def create() -> int:
    """Make an anonymous block and give its file descriptor (not inheritable)."""
    return blocks.create("bulkhead-spool", SIZE)


class Writer:
    """The worker's view."""

    def __init__(self, fd: int, ledger: Ledger) -> None:
        """Map the block behind ``fd``; the descriptor may be closed afterwards."""
        self._ledger = ledger
        self.map(fd)

    def map(self, fd: int) -> None:
        """Map another block, whose counts stand in the ledger of the moment."""
        self._map = mmap.mmap(fd, SIZE)
        self._slots = self._ledger.slots

    def append(self, kind: int, number: int, marks: tuple[int, int], text: bytes) -> bool:
        """Append an entry; False, and nothing is done, if there is no room for it."""
        slots = self._slots
        end = slots[_SPOOLED]
        entry = _pack(kind, number, marks[0], marks[1], len(text)) + text
        after = end + len(entry)
        if after - slots[_TAKEN] > SIZE:
            return False
        at = end % SIZE
        if at + len(entry) <= SIZE:
            self._map[at : at + len(entry)] = entry
        else:
            first = SIZE - at
            self._map[at:] = entry[:first]
            self._map[: len(entry) - first] = entry[first:]
        slots[_SPOOLED] = after  # from here on it is said
        return True

    def append_records(self, frames: bytes) -> bool:
        """Append the frames of records, all or (False) none of them."""
        return self.append(_WHOLE, 0, (0, 0), frames)


class Reader:
    """The supervisor's view. Believes nothing: native code of the user's can run wild over it."""

    def __init__(self, fd: int, ledger: Ledger) -> None:
        """Map the block behind ``fd``; the descriptor may be closed afterwards."""
        self._map = mmap.mmap(fd, SIZE, prot=mmap.PROT_READ)
        self._ledger = ledger
        self._taken = 0
        self.is_sane = True
        """Nothing was found in it that no worker of ours writes."""

    def end(self) -> int:
        """Give how many bytes have been spooled."""
        return self._ledger[Slot.SPOOLED]

    @property
    def taken(self) -> int:
        """How many of them were taken."""
        return self._taken

    def take(self, end: int) -> Iterator[Record]:
        """Give the entries up to ``end``, as records.

        Raises RecordError for bytes that no worker of ours has written.
        """
        size = end - self._taken
        if size <= 0:
            return  # it was taken with what stands behind it
        if size > SIZE or end > self.end():
            self.is_sane = False
            raise RecordError(f"{size} bytes cannot be spooled")
        at = self._taken % SIZE
        data = self._map[at : at + size]
        if len(data) < size:
            data += self._map[: size - len(data)]
        self._taken = end
        self._ledger[Slot.TAKEN] = end
        try:
            yield from _entries(data)
        except RecordError:
            self.is_sane = False
            raise


def _entries(data: bytes) -> Iterator[Record]:
    """Read entries; neighbours that differ in nothing but their text become one record."""
    at, size = 0, len(data)
    said: tuple[int, ...] = ()
    texts: list[bytes] = []
    while at < size:
        start = at + _HEAD.size
        if start > size:
            raise RecordError("a spooled entry is cut short")
        *head, length = _HEAD.unpack_from(data, at)
        at = start + length
        if at > size or (head[0] and head[0] not in _TEXT):
            raise RecordError(f"a spooled entry is of kind {head[0]}, with {length} bytes")
        if tuple(head) != said or not head[0]:
            if texts:
                yield from _records(said, texts)
            said, texts = tuple(head), []
        texts.append(data[start:at])
    if texts:
        yield from _records(said, texts)


def _records(head: tuple[int, ...], texts: list[bytes]) -> Iterator[Record]:
    kind, number, out, err = head
    if kind:
        yield Record(_TEXT[kind], number, (out, err), [b"".join(texts)])
    else:
        yield from _whole(texts[0])


def _whole(data: bytes) -> Iterator[Record]:
    decoder = Decoder()
    try:
        for record in map(decode, decoder.feed(data)):
            if record.kind not in _QUIET or len(record.parts) != PARTS[record.kind].start:
                raise RecordError(f"a {record.kind.name} record was spooled")
            yield record
    except FrameError as error:
        raise RecordError(str(error)) from error
    if decoder.pending:
        raise RecordError("a spooled record is cut short")


_TEXT = {int(kind): kind for kind in (Kind.STDOUT, Kind.STDERR)}
