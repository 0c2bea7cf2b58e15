"""The native libraries that are mapped into this process, by asking the dynamic linker.

It calls a function for each of them (``dl_iterate_phdr``) and counts how many it ever mapped. While
that count stays the same, so does the answer. The list of mappings in /proc would tell the same, in
milliseconds instead of in one.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ...shared.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_PT_LOAD, _PF_X = 1, 1
_PAUSE_HARD = 2  # omp_pause_hard of OpenMP 5.0: the threads end


class Library(NamedTuple):
    """One mapped library."""

    path: str
    """"" for the program itself."""
    code: tuple[tuple[int, int], ...]
    """Where its instructions are: addresses from, and up to."""

    @property
    def name(self) -> str:
        """The name of its file."""
        return os.path.basename(self.path)  # noqa: PTH119 - a string, hundreds of times


class _Header(ctypes.Structure):
    """Elf64_Phdr of <elf.h>."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("physical", ctypes.c_uint64),
        ("size_in_file", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("alignment", ctypes.c_uint64),
    )


class _Info(ctypes.Structure):
    """struct dl_phdr_info of <link.h>."""

    _fields_ = (
        ("address", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.POINTER(_Header)),
        ("count", ctypes.c_uint16),
        ("mapped_ever", ctypes.c_ulonglong),
        ("unmapped_ever", ctypes.c_ulonglong),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Info), ctypes.c_size_t, ctypes.c_void_p)


class Libraries:
    """What is mapped now; looked at again only when something was mapped since."""

    def __init__(self) -> None:
        # Not CDLL: the linker calls back, and whoever calls back needs the GIL that it let go of.
        self._iterate = ctypes.PyDLL(None).dl_iterate_phdr
        self._seen = (-1, -1)
        self._mapped: tuple[Library, ...] = ()
        self._pauses: list[Callable[[int], object]] = []  # of each OpenMP runtime of GNU's

    def mapped(self) -> tuple[Library, ...]:
        """Give all libraries."""
        counts = self._counts()
        if counts != self._seen:
            self._mapped = self._look()
            self._pauses = _pauses(self._mapped)
            self._seen = counts
        return self._mapped

    def pause_openmp(self) -> None:
        """Let GNU's OpenMP runtimes end their threads: a forked process would wait for them.

        They start new ones the next time. Documented as ``omp_pause_resource_all`` in OpenMP 5.0.
        """
        self.mapped()
        for pause in self._pauses:
            pause(_PAUSE_HARD)

    def _counts(self) -> tuple[int, int]:
        found = (-1, -1)

        def first(info: ctypes._Pointer[_Info], _size: int, _data: int) -> int:
            nonlocal found
            found = info.contents.mapped_ever, info.contents.unmapped_ever
            return 1  # no more

        self._iterate(_Callback(first), None)
        return found

    def _look(self) -> tuple[Library, ...]:
        found = []

        def each(info: ctypes._Pointer[_Info], _size: int, _data: int) -> int:
            mapped = info.contents
            code = []
            for at in range(mapped.count):
                header = mapped.headers[at]
                if header.type == _PT_LOAD and header.flags & _PF_X:
                    start = mapped.address + header.address
                    code.append((start, start + header.size))
            found.append(Library(os.fsdecode(mapped.name or b""), tuple(code)))
            return 0

        self._iterate(_Callback(each), None)
        return tuple(found)


def _pauses(libraries: tuple[Library, ...]) -> list[Callable[[int], object]]:
    found: list[Callable[[int], object]] = []
    for library in libraries:
        if library.name.startswith("libgomp"):
            with suppress(OSError, AttributeError):  # too old to have it: its threads will be seen
                found.append(ctypes.CDLL(library.path).omp_pause_resource_all)
    return found
