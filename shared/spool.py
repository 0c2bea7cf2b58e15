"""Text and small messages on their way to the supervisor: a ring in shared memory.

A record on the pipe costs a system call and wakes its reader; a loop that prints makes a hundred
thousand a second. What is copied here costs neither, and outlives the worker as a pipe's bytes do.
An entry carries what a record of text would: which stream, for which request, and its marks. Or it
is one record that is not long: a message (a display, of a comm), or a request's beginning. Nobody
needs to hear of the latter at once. It wakes nobody; the supervisor looks for it when a request
takes longer than most.

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
from .handover import Handed
from .ledger import Slot
from .records import Kind, Record, RecordError, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .ledger import Ledger

SIZE = 1 << 20
LONGEST = SIZE // 8
"""Bytes of the longest text or record that goes this way; the pipe is better for longer ones."""

_HEAD = struct.Struct("<BQQQI")  # kind, number, marks, bytes that follow
_MORE_HEAD = struct.Struct("<BI")
# In place of the kind:
_MORE = 0xFF  # text, with all else as it is with the text before it: most text is
_NEWLINE = ord("\n")  # ends the line that the text before it has begun; no more of a head, no text
MESSAGES = frozenset({Kind.PUBLISH, Kind.COMM})
"""Kinds of records that may go this way, if nothing of theirs is handed over."""
_QUIET = frozenset({Kind.BEGIN, Kind.BEGIN_CELL})
"""... and those that may, of which nobody needs to hear at once."""
_RECORDS = MESSAGES | _QUIET
# Looked up once: a print is a matter of a microsecond.
_pack, _pack_more = _HEAD.pack, _MORE_HEAD.pack
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
        self._said: tuple[int, int, tuple[int, int]] | None = None  # with the last text

    def append(self, kind: int, number: int, marks: tuple[int, int], text: bytes) -> bool:
        """Append text; False, and nothing is done, if there is no room for it."""
        said = (kind, number, marks)
        if said == self._said:
            return self._append(_pack_more(_MORE, len(text)) + text)
        # A handler's exception may come at any bytecode, and leave it unknown what was said.
        self._said = None
        if not self._append(_pack(kind, number, marks[0], marks[1], len(text)) + text):
            return False
        self._said = said
        return True

    def end_line(self) -> bool:
        """Append a newline to the text that was appended last; False if there is no room for it."""
        slots = self._slots
        end = slots[_SPOOLED]
        if end - slots[_TAKEN] >= SIZE:
            return False
        self._map[end % SIZE] = _NEWLINE
        slots[_SPOOLED] = end + 1
        return True

    def append_record(self, kind: Kind, record: bytes) -> bool:
        """Append one record (``records.whole``): a message, or a beginning.

        Gives False, and does nothing, if there is no room for it.
        """
        self._said = None
        return self._append(_pack(kind, 0, 0, 0, len(record)) + record)

    def _append(self, entry: bytes) -> bool:
        slots = self._slots
        end = slots[_SPOOLED]
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


class Reader:
    """The supervisor's view. Believes nothing: native code of the user's can run wild over it."""

    def __init__(self, fd: int, ledger: Ledger) -> None:
        """Map the block behind ``fd``; the descriptor may be closed afterwards."""
        self._map = mmap.mmap(fd, SIZE, prot=mmap.PROT_READ)
        self._ledger = ledger
        self._taken = 0
        self._said: tuple[Kind, int, tuple[int, int]] | None = None  # with the text before
        self.is_sane = True
        """Nothing was found in it that no worker of ours writes."""
        self.is_news = False
        """Of what was taken last, something was not to be quiet about."""

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
        self.is_news = False
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
            yield from self._entries(data)
        except RecordError:
            self.is_sane = False
            raise

    def _entries(self, data: bytes) -> Iterator[Record]:
        """Read entries; neighbours that differ in nothing but their text become one record."""
        at, size = 0, len(data)
        texts: list[bytes] = []
        while at < size:
            code = data[at]
            if code == _MORE:
                start = at + _MORE_HEAD.size
                length = _MORE_HEAD.unpack_from(data, at)[1] if start <= size else size
            elif code == _NEWLINE:
                start, length = at, 1
            else:
                yield from self._texts(texts)
                start = at + _HEAD.size
                if start > size:
                    raise RecordError("a spooled entry is cut short")
                _, number, out, err, length = _HEAD.unpack_from(data, at)
                kind = _TEXT.get(code)
                self._said = (kind, number, (out, err)) if kind else None
            at = start + length
            if at > size:
                raise RecordError("a spooled entry is cut short")
            if self._said is None:
                self.is_news = code not in _QUIET
                yield _record(code, data[start:at])
                continue
            if at < size and data[at] == _NEWLINE:
                at += 1  # one step for each line of a loop that prints
            texts.append(data[start:at])
        yield from self._texts(texts)

    def _texts(self, texts: list[bytes]) -> Iterator[Record]:
        if texts and self._said is not None:
            self.is_news = True
            yield Record(*self._said, [b"".join(texts)])
            texts.clear()


def _record(code: int, data: bytes) -> Record:
    record = decode(data) if code in _RECORDS else None
    if (
        record is None
        or record.kind != code
        or any(isinstance(part, Handed) for part in record.parts)
    ):
        raise RecordError(f"a spooled entry is of kind {code}, with {len(data)} bytes")
    return record


_TEXT = {int(kind): kind for kind in (Kind.STDOUT, Kind.STDERR)}
