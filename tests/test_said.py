"""What the debugger says, events and answers, on its way from Control to IOPub's socket."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import pytest
import zmq
from bulkhead_kernel.supervisor.events import Answer, DebugEvent
from bulkhead_kernel.supervisor.inboxes import Inboxes
from bulkhead_kernel.supervisor.iopub import IOPub
from bulkhead_kernel.supervisor.wire import Builder, Signer
from telling import request


@pytest.fixture
def iopub(monkeypatch):
    """IOPub with a worker that says nothing; ``published`` is what it publishes."""
    inboxes = Inboxes()
    context = zmq.Context()
    iopub = IOPub(context.socket(zmq.XPUB), inboxes, Builder(Signer(b""), "session"))
    iopub.published = []
    monkeypatch.setattr(
        iopub,
        "_publish",
        lambda message: iopub.published.append((message.msg_type, message.parent)),
    )
    spool = SimpleNamespace(end=lambda: 0, is_sane=True, taken=0, take=lambda _: ())
    worker = SimpleNamespace(pidfd=-1, records=-1, spool=spool)
    iopub._pipes = SimpleNamespace(worker=worker, captured={}, listening=False)
    yield iopub
    context.destroy()
    for inbox in vars(inboxes).values():
        inbox.close()


@pytest.mark.parametrize("steps", [*product((0, 1, 2), repeat=3)])
def test_is_published_in_the_order_in_which_it_was_said(iopub, steps):
    """G1: whenever IOPub looks. Whoever has the answer to a disconnect is told nothing more."""
    first, last = request(1, "debug_request", "control"), request(2, "debug_request", "control")
    said = [
        Answer(first, "debug_reply", b"{}"),
        DebugEvent(b"{}"),
        Answer(last, "debug_reply", b"{}"),
    ]
    for event, count in zip(said, steps, strict=True):
        iopub._inbox.put(event)
        for _ in range(count):
            iopub._step({})
    for _ in range(3):
        iopub._step({})
    assert iopub.published == [
        *[("status", first.message.header)] * 2,
        ("debug_event", b"{}"),
        *[("status", last.message.header)] * 2,
    ]
