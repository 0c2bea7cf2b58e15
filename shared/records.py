"""Records: what one process tells the other in one frame.

A record says what happened (its kind), for which request (a number that the supervisor gave; 0 is
'none'), where it stands among the bytes written to file descriptors 1 and 2 (its marks: how many
bytes of each had been written before it), and carries opaque parts. JSON is made once, by whoever
has the objects, and crosses as bytes.

Decoding is total: any payload is a Record or a RecordError. Nothing is ever unpickled (G26).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from .frames import BIG
from .frames import encode as encode_frame
from .handover import LEAST, MOST, Handed, HandoverError
from .tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .frames import Buffer
    from .handover import Handover


class RecordError(Exception):
    """The payload of a frame is no record of ours."""


class Kind(IntEnum):
    """What a record tells, and the parts that it carries."""

    # From the worker.
    HELLO = 1
    """The interpreter is ready. Parts: none; of one that was restored, what it brings along: JSON
    with its open ``comms``."""
    BEGIN = 2
    """A request has begun. Parts: execution_count in decimal, forgotten numbers (8 bytes each)."""
    BEGIN_CELL = 16
    """A cell has begun, and its code is to be shown. Parts: as BEGIN, content of execute_input."""
    STDOUT = 3
    """Text written to sys.stdout. Parts: UTF-8, lone surrogates passed."""
    STDERR = 4
    """Text written to sys.stderr. Parts: as STDOUT."""
    PUBLISH = 5
    """A message for IOPub. Parts: msg_type, content, metadata, then buffers."""
    COMM = 6
    """A comm message for IOPub. Parts: comm_id, target_name, then as PUBLISH."""
    COMM_ACCEPTED = 10
    """A comm that the client opened has its target. Parts: comm_id, target_name."""
    COMM_FORGOTTEN = 11
    """The worker has dealt with a client's comm_close. Parts: comm_id."""
    INPUT = 7
    """The running request asks its client for a line. Parts: content of the input_request, a name
    for this prompt."""
    DONE = 8
    """A request has ended. Parts: the next cell's execution_count, 1 if what is queued is to be
    aborted (else 0), msg_type of the reply (empty if the request has none), content, metadata."""
    LEAVING = 12
    """The user has asked this interpreter to leave. Parts: none."""
    LOG = 9
    """A line for the supervisor's log. Parts: level name, text."""
    SPOOLED = 13
    """What stands behind this was said after so many bytes of spooled text. The number is that
    count. Parts: none."""
    SUBSHELL_ENDED = 14
    """A subshell's thread has ended. The number is the subshell's. Parts: none."""
    RETURNED = 15
    """The cell is over, and did not take this ASIDE. Parts: none."""

    # To the worker.
    REQUEST = 32
    """A request. Parts: msg_type, header, content, metadata, then buffers."""
    INPUT_REPLY = 33
    """The answer to INPUT. Parts: content of the input_reply, the name of the prompt."""
    ASIDE = 34
    """A comm message that the running cell may take while it awaits. Parts: as REQUEST."""


PARTS: dict[Kind, range] = {
    Kind.HELLO: range(2),
    Kind.BEGIN: range(2, 3),
    Kind.BEGIN_CELL: range(3, 4),
    Kind.STDOUT: range(1, 2),
    Kind.STDERR: range(1, 2),
    Kind.PUBLISH: range(3, 1 << 32),
    Kind.COMM: range(5, 1 << 32),
    Kind.COMM_ACCEPTED: range(2, 3),
    Kind.COMM_FORGOTTEN: range(1, 2),
    Kind.INPUT: range(2, 3),
    Kind.DONE: range(5, 6),
    Kind.LEAVING: range(1),
    Kind.LOG: range(2, 3),
    Kind.SPOOLED: range(1),
    Kind.SUBSHELL_ENDED: range(1),
    Kind.RETURNED: range(1),
    Kind.REQUEST: range(4, 1 << 32),
    Kind.INPUT_REPLY: range(2, 3),
    Kind.ASIDE: range(4, 1 << 32),
}
"""How many parts each kind has."""

_HEAD = struct.Struct("<BQQQI")
_SERIAL = struct.Struct("<Q")
_HANDED = 1 << 63  # in the size of a part that is not in the record
_KINDS = {int(kind): kind for kind in Kind}


class Record(NamedTuple):
    """One record, decoded."""

    kind: Kind
    number: int
    marks: tuple[int, int]
    parts: list[bytes]


def encode(
    kind: Kind,
    number: int,
    parts: Sequence[Buffer | Handed] = (),
    marks: tuple[int, int] = (0, 0),
) -> list[Buffer]:
    """Make the frame of one record, as pieces for ``writev``. Buffers must be contiguous bytes.

    Of a buffer that was handed over, the record holds the serial number.
    """
    sizes: list[int] = []
    pieces: list[Buffer] = []
    for part in parts:
        if isinstance(part, Handed):
            sizes.append(_HANDED | part.size)
            pieces.append(_SERIAL.pack(part.serial))
        else:
            sizes.append(len(part))
            pieces.append(part)
    head = _HEAD.pack(kind, number, *marks, len(parts))
    return encode_frame([head + struct.pack(f"<{len(sizes)}Q", *sizes), *pieces])


def whole(
    kind: Kind, number: int, parts: Sequence[Buffer], marks: tuple[int, int] = (0, 0)
) -> bytes:
    """Make one record in one piece, without the head of a frame; ``decode`` reads it."""
    count = len(parts)
    head = _HEAD.pack(kind, number, *marks, count)
    return b"".join([head, struct.pack(f"<{count}Q", *map(len, parts)), *parts])


def hand_over(kind: Kind, parts: Sequence[Buffer], handover: Handover) -> Sequence[Buffer | Handed]:
    """Hand over what is big of the buffers behind the parts that every record of its kind has."""
    if max(map(len, parts), default=0) < LEAST:
        return parts
    least, left = PARTS[kind].start, MOST
    given: list[Buffer | Handed] = []
    for at, part in enumerate(parts):
        handed = None
        if at >= least and left and len(part) >= LEAST:
            handed = handover.give(part)
            left -= 1
        given.append(part if handed is None else handed)
    return given


def taken(record: Record, handover: Handover) -> Record:
    """Put what was handed over in its place. Raises RecordError if it was not."""
    if len(record.parts) == PARTS[record.kind].start:
        return record  # there are no buffers
    try:
        parts = [handover.take(part) if isinstance(part, Handed) else part for part in record.parts]
    except HandoverError as error:
        raise RecordError(str(error)) from error
    return record._replace(parts=parts)


def decode(payload: Buffer) -> Record:
    """Read the payload of one frame. Raises RecordError, and nothing else, for foreign bytes.

    Big buffers behind the parts that every record of their kind has are not copied: they are
    views of the payload. Those that were handed over are Handed; ``taken`` takes them.
    """
    try:
        code, number, out, err, count = _HEAD.unpack_from(payload)
        sizes = struct.unpack_from(f"<{count}Q", payload, _HEAD.size)
    except struct.error as error:
        raise RecordError(f"a record's head is cut short: {bytes(payload[:40])!r}") from error
    kind = _KINDS.get(code)
    if kind is None or count not in PARTS[kind]:
        raise RecordError(f"no record is of kind {code} with {count} parts")
    start = _HEAD.size + 8 * count
    lengths: Sequence[int] = sizes
    is_small = max(sizes, default=0) < BIG
    if not is_small:
        lengths = [_SERIAL.size if size & _HANDED else size for size in sizes]
    if start + sum(lengths) != len(payload):
        raise RecordError(f"the parts of a {kind.name} record do not fill it")
    pieces = []
    for length in lengths:
        pieces.append(payload[start : start + length])
        start += length
    parts = list(map(bytes, pieces)) if is_small else _parts(kind, sizes, pieces)
    return Record(kind, number, (out, err), parts)


def _parts(kind: Kind, sizes: Sequence[int], pieces: Sequence[Buffer]) -> list[bytes]:
    """Read parts of which some are big, or handed over. Raises RecordError."""
    parts: list[Any] = []  # a view is as good as bytes to whoever passes a buffer on
    for at, (size, piece) in enumerate(zip(sizes, pieces, strict=True)):
        if not size & _HANDED:
            is_view = size >= BIG and at >= PARTS[kind].start
            parts.append(piece if is_view else bytes(piece))
        elif at < PARTS[kind].start:
            raise RecordError(f"only buffers are handed over, not part {at} of {kind.name}")
        else:
            (serial,) = _SERIAL.unpack(piece)
            parts.append(Handed(serial, size & ~_HANDED))
    return parts
