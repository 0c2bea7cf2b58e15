"""What a snapshot makes the cells after it pay: pages are copied because it shares them."""

from __future__ import annotations

import os
import resource

from ...shared import meminfo

FAULT = 2.5e-6
"""Seconds that it takes to copy a page on writing."""
_PAGE = resource.getpagesize()


class Tax:
    """The tax of the newest snapshot so far, in seconds."""

    def __init__(self) -> None:
        self._faults = self._pages = 0

    def begin(self) -> None:
        """Begin with a new snapshot."""
        self._faults = _faults()
        self._pages = meminfo.resident() // _PAGE

    def at_most(self) -> float:
        """Tell what it can have been: new memory that was let go of again is counted, too."""
        return self._of(_faults() - self._faults)

    def measured(self) -> float:
        """Tell what it was, by a look at all of the memory (10 ms for each gigabyte)."""
        private = meminfo.private(os.getpid()) // _PAGE
        return self._of(min(_faults() - self._faults, private))

    def _of(self, pages: int) -> float:
        if not self._pages:
            return 0.0
        grown = max(0, meminfo.resident() // _PAGE - self._pages)
        return FAULT * max(0, min(pages - grown, self._pages))


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
