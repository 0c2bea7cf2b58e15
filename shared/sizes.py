"""Amounts of memory in words: read from an option, shown in a text."""

from __future__ import annotations

import re

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?)(i?b)?", re.ASCII | re.IGNORECASE)


def parse(text: str) -> int:
    """Read '4GiB', '512M', '1.5 GB' or a plain number of bytes; units are powers of 1024.

    Raises ValueError, which names what was given, for anything else, and for nothing.
    """
    found = _SIZE.fullmatch(text.strip())
    size = float(found[1]) * _UNITS[found[2].lower()] if found else 0.0
    if not 1 <= size < 1 << 62:
        raise ValueError(f"{text!r} is no amount of memory; write it like 4GiB or 512MiB")
    return int(size)


def show(size: float) -> str:
    """Say so many bytes as people do: '31 MiB', '2.0 GiB'."""
    mebibytes = size / (1 << 20)
    if abs(mebibytes) >= 1000:  # noqa: PLR2004 - four digits say less than 1.0 GiB
        return f"{mebibytes / 1024:.1f} GiB"
    return f"{mebibytes:.0f} MiB" if abs(mebibytes) >= 10 else f"{mebibytes:.1f} MiB"  # noqa: PLR2004
