"""The file names of cells while somebody debugs: both processes must come to the same one.

A frontend computes the name by itself to place a breakpoint ("debugInfo" in the messaging
documentation): the folder, the Murmur2 hash of the cell's code, ``.py``.
"""

from __future__ import annotations

import struct

SEED = 0xC70F6907
METHOD = "Murmur2"
SUFFIX = ".py"

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def file_name(prefix: str, code: str) -> str:
    """Name the file of a cell. The prefix ends with a separator, as frontends are told it."""
    return f"{prefix}{murmur2(code.encode('utf-8', 'surrogatepass'), SEED)}{SUFFIX}"


def murmur2(data: bytes, seed: int) -> int:
    """Hash bytes with MurmurHash2 in 32 bits, words read with the lowest byte first."""
    whole = len(data) & ~3
    value = (seed ^ len(data)) & _MASK
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        mixed = word * _M & _MASK
        mixed = (mixed ^ mixed >> 24) * _M & _MASK
        value = value * _M & _MASK ^ mixed
    if rest := data[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * _M & _MASK
    value = (value ^ value >> 13) * _M & _MASK
    return value ^ value >> 15
