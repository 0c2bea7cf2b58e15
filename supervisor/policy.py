"""What whoever starts a kernel may decide about it."""

from __future__ import annotations

from ..shared.limits import Limits
from ..shared.tuples import NamedTuple


class Policy(NamedTuple):
    """Settings with the values that suit most."""

    stuck_after: float = 3.0
    """Seconds from an interrupt that nobody hears to telling where the worker is stuck."""
    kill_after: float = 8.0
    """Seconds from an interrupt that nobody hears to the end of the worker."""
    exit_on_crash: bool = False
    """End the kernel after a crash, with a status that tells of it, instead of going on."""
    limits: Limits = Limits()
    """What a cell may use."""
    metrics: str = ""
    """Where Prometheus finds this kernel; "" for nowhere."""
    subshells: bool = True
    """Clients may have subshells."""
