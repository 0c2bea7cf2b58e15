"""The pipes between the supervisor and one worker."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import suppress

from ..shared import ledger, spool
from ..shared import samples as shared_samples
from ..shared.handover import Handover
from ..shared.ledger import Ledger
from ..shared.orders import Orders
from ..shared.tuples import NamedTuple
from .events import Worker

PIPE_SIZE = 1 << 20
"""What a pipe holds, in bytes, where the system lets us choose: fewer wake-ups in a flood."""


class Ends(NamedTuple):
    """Both sides' descriptors: the worker's are to be closed here once it has them."""

    requests: int
    records: int
    stdout: int
    stderr: int
    ledger: int
    spool: int
    handover: int
    orders: int
    crash: int
    parking: int
    worker: tuple[int, ...]
    """The worker's, in the order of ``worker.options.Descriptors``."""


def create(samples: int) -> Ends:
    """Make what connects the supervisor with a new worker. Nothing of it is inheritable.

    ``samples`` is the descriptor of the block of samples, which all workers see.
    """
    for_requests, requests = _pipe()
    records, for_records = _pipe()
    stdout, for_stdout = _pipe()
    stderr, for_stderr = _pipe()
    block = ledger.create()
    # Packets: a descriptor and its number come together or not at all.
    handover, for_handover = _packets()
    orders, for_orders = _packets()
    parking, for_parking = _packets()
    crash, for_crash = _pipe()
    os.set_blocking(crash, False)
    spooled = spool.create()
    for_samples = shared_samples.reader_of(samples)
    worker = (
        for_requests, for_records, for_stdout, for_stderr, block, for_samples, spooled,
        for_handover, for_orders, for_crash, for_parking,
    )  # fmt: skip
    return Ends(
        requests, records, stdout, stderr, block, spooled, handover, orders, crash, parking, worker
    )


def for_subshell() -> tuple[int, int]:
    """Make the pipe of a subshell: the worker's end of it, and ours, which does not block."""
    requests, ours = os.pipe()  # as small as pipes are: there is a quota, and there may be many
    os.set_blocking(ours, False)
    return requests, ours


def close_worker_ends(ends: Ends) -> None:
    """Close here what a worker was given, but for what is mapped here as well."""
    for fd in ends.worker:
        if fd not in (ends.ledger, ends.spool):
            os.close(fd)


def attach(ends: Ends, generation: int, pid: int, pidfd: int) -> Worker:
    """Make what the threads know of a worker that has the other ends."""
    ledger = Ledger(ends.ledger)
    worker = Worker(
        generation, pid, pidfd, ends.requests, ends.records, ends.stdout, ends.stderr,
        ledger, spool.Reader(ends.spool, ledger), Handover(ends.handover), Handover(ends.handover),
        Orders(ends.orders), time.monotonic(),
    )  # fmt: skip
    os.close(ends.ledger)
    os.close(ends.spool)
    os.close(ends.handover)
    os.set_blocking(worker.requests, False)
    return worker


def _packets() -> tuple[int, int]:
    ours, worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return ours.detach(), worker.detach()


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):  # the user's quota of pipe memory is used up: smaller works, too
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    return reader, writer
