"""What a worker is given: settings and descriptors. Imports nothing heavy."""

from __future__ import annotations

from ..shared.limits import Limits
from ..shared.tuples import NamedTuple


class Options(NamedTuple):
    """Settings of every worker of one kernel."""

    connection_file: str
    session: str
    """The session id in the header of every message of this kernel."""
    ipython: tuple[str, ...]
    """IPython's own options, as they stand on a command line."""
    limits: Limits = Limits()
    measure: bool = True
    """Measure what each cell uses."""
    recover: str = "auto"
    """Make snapshots: auto, on or off."""


class Descriptors(NamedTuple):
    """What the supervisor hands to a new worker, in this order."""

    requests: int
    records: int
    stdout: int
    stderr: int
    ledger: int
    samples: int
    spool: int
    handover: int
    orders: int
    crash: int
    parking: int
