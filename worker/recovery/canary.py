"""A woken snapshot proves itself before anybody relies on it: what every cell needs has to work.

Whatever hangs here is ended by the supervisor, which waits so long and no longer.
"""

from __future__ import annotations

import importlib
import sys
import threading

_BIG = 1 << 22


def check() -> None:
    """Import, start a thread, take memory, compute. Raises what fails."""
    sys.modules.pop("this_is_no_module", None)
    importlib.import_module("colorsys")
    importlib.invalidate_caches()
    done = threading.Event()
    thread = threading.Thread(target=done.set, name="bulkhead-canary")
    thread.start()
    thread.join()
    assert done.is_set()
    memory = bytearray(_BIG)
    memory[::4096] = b"x" * len(memory[::4096])
    if (numpy := sys.modules.get("numpy")) is not None and hasattr(numpy, "ones"):
        square = numpy.ones((64, 64))
        assert (square @ square)[0, 0] == len(square)
