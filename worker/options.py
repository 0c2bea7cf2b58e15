"""What a worker is given: settings and descriptors. Imports nothing heavy."""

from __future__ import annotations

from typing import NamedTuple


class Options(NamedTuple):
    """Settings of every worker of one kernel."""

    connection_file: str
    session: str
    """The session id in the header of every message of this kernel."""
    ipython: tuple[str, ...]
    """IPython's own options, as they stand on a command line."""


class Descriptors(NamedTuple):
    """What the supervisor hands to a new worker, in this order."""

    requests: int
    records: int
    stdout: int
    stderr: int
    ledger: int
    crash: int
