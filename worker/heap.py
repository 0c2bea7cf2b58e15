"""What the C library keeps of memory that was let go of.

After ``del`` of many things of middling size, most of the heap may be free, and yet the system
counts it: the C library gives back what lies at the heap's end only, and the next large thing does
not fit into the holes. Their pages can be given back; their addresses go on being counted, so
whoever compares that count with a limit subtracts them.
"""

from __future__ import annotations

import ctypes
import sys


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def give_back() -> int:
    """Give the pages of free memory back to the system; tell how many bytes are free but counted.

    Takes some milliseconds for a large heap. 0 where the C library does not tell.
    """
    if sys.platform != "linux":
        return 0
    library = ctypes.CDLL(None)
    try:
        trim, info = library.malloc_trim, library.mallinfo2
    except AttributeError:  # not glibc, or an old one
        return 0
    info.restype = _Mallinfo2
    trim(0)
    return int(info().fordblks)
