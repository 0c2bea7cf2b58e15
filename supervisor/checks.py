"""What can be said of a worker's record without knowing what came before it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from ..shared.records import Kind, RecordError

if TYPE_CHECKING:
    from ..shared.records import Record

PUBLISHABLE = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""Names of messages that a worker may publish: whatever a library sends, but for ..."""
RESERVED = frozenset({"status", "iopub_welcome", "comm_open", "comm_msg", "comm_close"})
COMM_TYPES = frozenset({"comm_open", "comm_msg", "comm_close"})

_publishable: dict[bytes, str] = {}
_NAMES = 100  # that are kept in it
_DIGITS = 18  # of the longest count that is believed


def check(record: Record) -> None:
    """Raise RecordError for a record that no worker of ours sends."""
    parts = record.parts
    match record.kind:
        case Kind.PUBLISH:  # the most frequent one first
            publishable(parts[0])
        case Kind.REQUEST | Kind.ASIDE | Kind.INPUT_REPLY as kind:
            raise RecordError(f"a worker sends no {kind.name}")
        case Kind.SPOOLED:
            raise RecordError("where text belongs is seen to before a record is taken")
        case Kind.HELLO if parts:
            open_comms(record)
        case Kind.BEGIN | Kind.BEGIN_CELL:
            number_in(parts[0])
            if len(parts[1]) % 8:
                raise RecordError("forgotten numbers are eight bytes each")
        case Kind.DONE:
            number_in(parts[0])
        case Kind.COMM if [string(part) for part in parts[:3]][2] not in COMM_TYPES:
            raise RecordError(f"{parts[2]!r} is no message of a comm")
        case Kind.COMM_ACCEPTED | Kind.COMM_FORGOTTEN:
            for part in parts:
                string(part)


def open_comms(record: Record) -> frozenset[str]:
    """Read which comms a restored worker has."""
    try:
        comms = json.loads(record.parts[0])["comms"]
        if isinstance(comms, list) and all(isinstance(comm_id, str) for comm_id in comms):
            return frozenset(comms)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise RecordError(f"{record.parts[0][:40]!r} is no list of comms")


def publishable(part: bytes) -> str:
    """Read the type of a message that a worker publishes."""
    name = _publishable.get(part)
    if name is None:
        name = string(part)
        if not PUBLISHABLE.fullmatch(name) or name in RESERVED:
            raise RecordError(f"a worker does not publish {name!r}")
        if len(_publishable) < _NAMES:  # a worker may invent more than there are
            _publishable[part] = name
    return name


def number_in(part: bytes) -> int:
    """Read an execution_count."""
    if not part.isdigit() or len(part) > _DIGITS:
        raise RecordError(f"{part[:40]!r} is no execution_count")
    return int(part)


def string(part: bytes) -> str:
    """Read a name."""
    try:
        return part.decode()
    except UnicodeDecodeError as error:
        raise RecordError(f"{part[:40]!r} is no name in UTF-8") from error


def written(part: bytes) -> str:
    """Read text that was written to a stream; it may hold lone surrogates."""
    try:
        return part.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise RecordError(f"{part[:40]!r} is no text in UTF-8") from error
