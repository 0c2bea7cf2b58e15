"""Whether a process does something, or hangs (Linux)."""

from __future__ import annotations

import time

_WORKING = (b"R", b"D")  # on a processor or waiting for one; waiting for a disk


def activity(pid: int) -> str:
    """Give something that changes whenever a process gets anywhere; "" if there is none.

    Of one that sleeps, that is the processor time which it has used, in ticks.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    if fields[0] in _WORKING:
        return f"{time.monotonic()}"
    return f"{fields[11].decode()} {fields[12].decode()}"
