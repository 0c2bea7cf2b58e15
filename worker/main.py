"""One life of the interpreter: put the parts together, run, take them apart."""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import TransformerManager

from ..shared.handover import Handover
from ..shared.ledger import Ledger
from ..shared.orders import Orders
from ..shared.samples import Reader
from ..shared.spool import Writer
from . import forks, masquerade
from .allocation import Allocation
from .app import IPKernelApp
from .attachment import Attachment
from .channel import Sender
from .comms import COMM_MESSAGES, Comms
from .context import NOBODY, Current
from .costs import Meter
from .debugging import Debugging
from .handlers import Handlers
from .here import here
from .interrupts import Interrupts
from .kernel import Kernel, Session
from .loop import MainLoop, Parts
from .process import forget_multiprocess, leave_crash_pipe, settle
from .publisher import Publisher
from .receiver import Receiver
from .recovery.snapshots import Snapshots
from .shell import ZMQInteractiveShell
from .stdin import Stdin
from .streams import Stream, as_text
from .subshells import Subshells

if TYPE_CHECKING:
    from collections.abc import Callable

    from .context import Request
    from .options import Descriptors, Options


def warm_up() -> None:
    """Do once, in the zygote, what every worker would do again for its first cell."""
    TransformerManager().transform_cell("1")  # the tokenizer compiles its pattern: 3 ms


def run(descriptors: Descriptors, options: Options, parent: int) -> None:
    """Be a worker until the supervisor closes its end or the user exits. Does not return."""
    settle(descriptors, parent)
    forget_multiprocess()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    ledger = Ledger(descriptors.ledger)
    interrupts = Interrupts(ledger, loop, options.limits)
    interrupts.install()
    interrupts.watch_handlers()
    spool = Writer(descriptors.spool, ledger)
    os.close(descriptors.spool)
    given, taken = Handover(descriptors.handover), Handover(descriptors.handover)
    sender = Sender(
        descriptors.records,
        (descriptors.stdout, descriptors.stderr),
        ledger, spool, given, interrupts,
    )  # fmt: skip
    receiver = Receiver(descriptors.requests, taken, interrupts)
    os.close(descriptors.handover)
    os.close(descriptors.ledger)
    allocation = Allocation(options.limits.memory)
    meter = Meter(ledger) if options.measure else None
    current = Current()
    current.begin(NOBODY)
    current.follow_threads()
    sys.stdout = as_text(Stream("stdout", 1, sender, current))
    sys.stderr = as_text(Stream("stderr", 2, sender, current))
    subshells = Subshells(Orders(descriptors.orders), interrupts, sender, allocation, ledger)
    publisher = Publisher(sender, current)
    comms = Comms(publisher)
    comms.install()
    Stdin(sender, current).install()
    here.receiver = receiver
    app = IPKernelApp.instance()
    shell = app.build(options.ipython, publisher, interrupts)
    shell.allocation, shell.meter, shell.samples = allocation, meter, Reader(descriptors.samples)
    shell.limits = options.limits
    attachment = Attachment(
        descriptors, ledger, spool, (given, taken), sender, receiver, interrupts, meter
    )
    snapshots = Snapshots(descriptors.parking, options.recover, shell, sender, attachment, loop)
    shell.snapshots, shell.subshells = snapshots, subshells
    _part_from_forks(
        sender, receiver, snapshots, descriptors.crash, interrupts, allocation, meter, subshells
    )
    shell.kernel = Kernel(
        shell, comms, current, Session(options.session, publisher), options.connection_file
    )
    masquerade.install(ZMQInteractiveShell)
    app.run_startup()
    snapshots.inherit()
    handlers = Handlers(shell).handlers()
    handlers["debug_request"] = Debugging(shell).handle
    parts = Parts(sender, current, shell, handlers, comms.handlers())
    main = MainLoop(loop, receiver, interrupts, parts, ledger, meter, subshells.settle)
    subshells.install(parts, _look_up(loop, shell, main))
    main.run()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _leave(shell, busy=subshells.any_busy())


def _part_from_forks(
    sender: Sender,
    receiver: Receiver,
    snapshots: Snapshots,
    crash: int,
    interrupts: Interrupts,
    allocation: Allocation,
    meter: Meter | None,
    subshells: Subshells,
) -> None:
    """Leave a process that the user's code forks alone with its plain descriptors (G38)."""

    def in_child() -> None:
        sender.close()
        receiver.close()
        subshells.leave()
        snapshots.close()
        leave_crash_pipe(crash)
        allocation.free()  # the supervisor counts children and all together
        if meter is not None:
            meter.close()
        interrupts.stop_if_waiting()
        if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, signal.SIG_DFL):
            signal.signal(signal.SIGINT, signal.default_int_handler)

    forks.in_child(in_child)


def _look_up(
    loop: asyncio.AbstractEventLoop, shell: ZMQInteractiveShell, main: MainLoop
) -> Callable[[Request], None]:
    """Let the main thread know of what a subshell's request has left for it, if anything."""

    def look_up(request: Request) -> None:
        changed = shell.snapshots.touched(time.monotonic())
        if changed or shell.exit_now or shell.history_manager.has_news:
            loop.call_soon_threadsafe(main.look)
        elif request.msg_type in COMM_MESSAGES:
            # A widget's callback may have set a future that the main shell awaits. asyncio then
            # knows what to do, and sleeps: it is made for one thread, and has to be woken.
            loop.call_soon_threadsafe(_nothing)

    return look_up


def _nothing() -> None:
    """Do what there is to do to have been woken."""


def _leave(shell: ZMQInteractiveShell, *, busy: bool) -> None:
    """End as an interpreter ends: exit handlers, threads, then the user's objects.

    Not the objects, if a subshell is ``busy`` with them: it would tell of that as an error.
    """
    steps: list[Callable[[], Any]] = [
        shell.history_manager.save,
        threading._shutdown,  # type: ignore[attr-defined]  # noqa: SLF001 - as the interpreter does
        atexit._run_exitfuncs,  # noqa: SLF001
        *([] if busy else [shell.user_ns.clear]),
        gc.collect,
    ]
    for step in steps:
        try:
            step()
        except BaseException:  # noqa: BLE001 - one failing handler must not keep the others from running
            traceback.print_exc()
    os._exit(0)
