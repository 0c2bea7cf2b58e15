"""What is said about snapshots, over sockets of their own, with descriptors.

A worker tells the supervisor of each snapshot that it has made (Parked, with our end of the
snapshot's own socket) or why it makes none (Unable). The supervisor wakes a snapshot (Wake, with
the descriptors of a new worker) and is answered by it: Awake. A snapshot that finds its socket
closed ends.

Some snapshots cannot become a worker, and say so when they park. What can be serialized moves from
such a *donor* to an *heir*, a fresh worker. The donor is asked for it (Donate) and gives it in
memory whose descriptor comes with the answer (Donated). The heir, which found Heir on its socket
when it started, gets the same descriptor (Inherit), tells what it is about to take out (Loading)
and in the end what it has (Inherited).

One message is one packet of JSON. The supervisor believes nothing: reading is total, and gives
None for what is no message.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any, get_type_hints

from .tuples import NamedTuple

PROCESS_NAME = b"bulkhead-parked"
"""What the system calls a snapshot while it waits (15 bytes at most)."""

LONGEST = 1 << 16
"""Bytes of a message. Words are cut so that it fits."""
_MOST_WORDS = 64
_LONGEST_WORD = 500
_TOO_MUCH = 1 << 62


class Parked(NamedTuple):
    """A snapshot was made. One descriptor comes with it."""

    pid: int
    after: int
    """The execution_count of the newest cell that is in it; 0: there was none."""
    cost: float
    """Seconds that it took the worker."""
    losses: tuple[str, ...]
    """What would not come back with it, in words."""
    donor: str = ""
    """Why it cannot become a worker, but only give what can be serialized; "" if it can."""


class Unable(NamedTuple):
    """No snapshot can be made, now or ever."""

    why: str
    after: int
    """The execution_count of the newest cell, which is in none."""
    final: bool = False
    """The snapshots that there are, are to go: the user has switched them off."""


class Wake(NamedTuple):
    """Become the worker. The descriptors of one come with it."""

    next_count: int
    """The next execution_count, at least."""
    parent: int
    """The process that this one is a child of by now."""


class Awake(NamedTuple):
    """The snapshot has become the worker, or cannot."""

    why_not: str
    """"" if it is the worker."""
    losses: tuple[str, ...]
    """What has not come back, in words."""


class Donate(NamedTuple):
    """Serialize the variables."""

    whole: bool
    """All of them at once, if that can be done, so that what they share stays shared."""
    seconds: float
    """After so long, what is done by then is what there is."""
    parent: int
    """The process that this one is a child of by now."""


class Donated(NamedTuple):
    """The variables, as far as they can be serialized. One descriptor comes with them."""

    whole: bool


class Heir(NamedTuple):
    """Wait, before anything else, for what another interpreter has left."""


class Inherit(NamedTuple):
    """Take what is there. One descriptor comes with it."""

    without: tuple[str, ...]
    """Parts that have ended, or hung, those who took them."""
    because: tuple[str, ...]
    """Of each of these: why not."""
    most: int
    """Take so many parts, and no more."""


class Loading(NamedTuple):
    """The next part is about to be taken out."""

    at: int
    part: str
    size: int
    """Bytes."""


class Inherited(NamedTuple):
    """What is there now, by name; of very many, not all of them."""

    moved: tuple[str, ...]
    moved_count: int
    lost: tuple[str, ...]
    """Each with the reason."""
    lost_count: int
    apart: bool
    """What several of them shared is no longer shared."""


Message = (
    Parked | Unable | Wake | Awake | Donate | Donated | Heir | Inherit | Loading | Inherited
)  # fmt: skip
_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in (
        Parked, Unable, Wake, Awake, Donate, Donated, Heir, Inherit, Loading, Inherited,
    )
}  # fmt: skip


def send(end: socket.socket, message: Message, fds: tuple[int, ...] = ()) -> None:
    """Send a message. Raises OSError if nobody is there, or nobody listens."""
    fields = {name: _shortened(value) for name, value in message._asdict().items()}
    text = json.dumps({"kind": type(message).__name__, **fields}, ensure_ascii=False)
    data = text.encode("utf-8", "replace")
    socket.send_fds(end, [data], list(fds))


def receive(end: socket.socket, most: int) -> tuple[Message | None, list[int]]:
    """Receive a message and up to so many descriptors, which are the caller's to close.

    None for what is no message. Raises EOFError if none will come, BlockingIOError if none is there
    and the socket does not wait.
    """
    data, fds, _, _ = socket.recv_fds(end, LONGEST, most)
    for fd in fds:
        os.set_inheritable(fd, False)  # received descriptors are, unlike all others
    if not data:
        raise EOFError
    return _read(data), fds


def _shortened(value: object) -> object:
    if isinstance(value, tuple):
        return [str(word)[:_LONGEST_WORD] for word in value[:_MOST_WORDS]]
    return value[:_LONGEST_WORD] if isinstance(value, str) else value


def _read(data: bytes) -> Message | None:
    try:
        fields = json.loads(data)
        kind = _KINDS[fields.pop("kind")]
        if set(fields) != set(kind._fields):
            return None
        wanted = get_type_hints(kind)
        return kind(**{name: _checked(wanted[name], fields[name]) for name in kind._fields})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _checked(wanted: object, value: object) -> Any:
    """Give a field as its type wants it. Raises TypeError."""
    if wanted == tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            return tuple(value)
    elif wanted is int:
        if type(value) is int and 0 <= value < _TOO_MUCH:
            return value
    elif type(value) is wanted or (wanted is float and type(value) is int):
        return value
    raise TypeError(wanted)
