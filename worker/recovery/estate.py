"""What a donor leaves to its heir: parts one after another in sealed memory, and a list of them.

A part is the pickle of a few variables by name, whole or not there at all. What is written of one
that then fails is written over.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
from pickle import PickleBuffer
from typing import TYPE_CHECKING

from ...shared.tuples import NamedTuple

if TYPE_CHECKING:
    from ...shared.frames import Buffer

_SEALS = ("F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_WRITE", "F_SEAL_SEAL")
_END = struct.Struct("<Q")
_AT_ONCE = 1 << 30


class Part(NamedTuple):
    """Variables that stand together."""

    names: tuple[str, ...]
    start: int
    end: int
    needs: tuple[str, ...] = ()
    """Variables of other parts that they contain."""


class Surroundings(NamedTuple):
    """What the values may need to be made again, and the user's code to go on."""

    folder: str
    path: tuple[str, ...]
    """Where modules are looked for."""
    environment: dict[str, str]
    sources: dict[str, str]
    """Code that is in no file, by the name that it has in tracebacks: that of cells."""


class Estate(NamedTuple):
    """The list."""

    whole: bool
    """There is one part; nothing of it is there without the rest."""
    parts: tuple[Part, ...]
    lost: tuple[tuple[str, str], ...]
    """Names of variables that are in no part, and why."""
    surroundings: Surroundings


class Out:
    """Where a pickle is written to; refuses more than there is room for."""

    def __init__(self, fd: int, start: int, room: int) -> None:
        self._fd = fd
        self._most = start + room
        self.end = start

    def write(self, data: Buffer | PickleBuffer) -> int:
        """Write it all."""
        view = data.raw() if isinstance(data, PickleBuffer) else memoryview(data).cast("B")
        size = len(view)
        if self.end + size > self._most:
            raise MemoryError("there is too little free memory")
        while view:
            done = os.pwrite(self._fd, view[:_AT_ONCE], self.end)
            self.end += done
            view = view[done:]
        return size


def create() -> int:
    """Make the memory; give its descriptor."""
    return os.memfd_create("bulkhead-estate", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def seal(fd: int, end: int, estate: Estate) -> None:
    """Write the list, behind the parts, and let nobody change anything."""
    text = json.dumps(estate).encode()
    for data in (text, _END.pack(len(text))):
        os.pwrite(fd, data, end)
        end += len(data)
    os.ftruncate(fd, end)
    for name in _SEALS:  # Linux has them, as it has snapshots
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, getattr(fcntl, name))


def read(fd: int) -> Estate:
    """Read the list."""
    end = os.fstat(fd).st_size - _END.size
    (size,) = _END.unpack(os.pread(fd, _END.size, end))
    whole, parts, lost, (folder, path, *others) = json.loads(os.pread(fd, size, end - size))
    return Estate(
        whole,
        tuple(Part(tuple(names), start, stop, tuple(needs)) for names, start, stop, needs in parts),
        tuple((name, why) for name, why in lost),
        Surroundings(folder, tuple(path), *others),
    )
