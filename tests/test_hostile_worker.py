"""A worker that breaks the rules of its own pipe costs itself, and nothing else (G20, G26).

The worker is the real one; a cell takes the pipe's descriptor and writes what no worker of ours
writes, or dies in the middle of a record.
"""

from __future__ import annotations

import os
import signal

import pytest

SETUP = """
import os, signal
from bulkhead_kernel.shared import frames, records
from bulkhead_kernel.shared.ledger import Slot
from bulkhead_kernel.shared.records import Kind
_sender = get_ipython().publisher._sender
pipe = _sender._fd
def record(kind, number, *parts, marks=None):
    marks = marks or _sender._ledger.written(_sender._waiting)
    # As the worker does: what was spooled stands before it.
    spooled = records.encode(Kind.SPOOLED, _sender._ledger[Slot.SPOOLED])
    return b"".join(map(bytes, [*spooled, *records.encode(kind, number, parts, marks)]))
def mine():
    return get_ipython().publisher._current.get().number
"""


@pytest.fixture(autouse=True)
def _setup(frontend):
    assert frontend.run(SETUP) == []


def die_after(frontend, record, size):
    """Run a cell that writes so many bytes of a record and dies; give the record's size."""
    parent = frontend.execute(
        # One write, or it may come in pieces.
        f"data = {record}\nprint(f'before {{len(data)}}', end='')\n"
        f"os.write(pipe, data[:{size}])\nos._exit(5)"
    )
    frontend.recv_begin(parent)
    said = frontend.recv("iopub", "stream", parent).content["text"]
    return parent, int(said.split()[1])


RECORDS = {
    "text": "record(Kind.STDOUT, mine(), b'torn')",
    "a display": "record(Kind.PUBLISH, mine(), b'display_data', b'{\"data\": {}}', b'{}')",
    "done": "record(Kind.DONE, mine(), b'1', b'0', b'execute_reply', b'{}', b'{}')",
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_torn_record_is_dropped_and_changes_nothing_else(frontend, kind):
    """G20: a death after k bytes of a record, for every k: as if it had not been begun."""
    size = k = 1
    while k < size or k == 1:
        parent, size = die_after(frontend, RECORDS[kind], k)
        frontend.recv_crash(parent, "KernelExited")
        assert frontend.run(SETUP) == []
        # Each byte of the heads (SPOOLED has 41 bytes), and of the end.
        k += 1 if k % 41 < 24 or k > size - 3 else 7


def test_a_record_that_is_whole_counts_though_its_writer_dies(frontend):
    """G18: the last byte makes it a record."""
    parent = frontend.execute(f"os.write(pipe, {RECORDS['text']})\nos._exit(5)")
    frontend.recv_begin(parent)
    frontend.recv_stream("stdout", "torn", parent)
    frontend.recv_crash(parent, "KernelExited")


NONSENSE = {
    "noise": "bytes(range(256)) * 100",
    "a frame of noise": "b''.join(frames.encode([b'noise']))",
    "a length beyond belief": "frames._HEAD.pack(frames.MAGIC, 1 << 60)",
    "a kind that nobody knows": "b''.join(frames.encode([b'c' + bytes(28)]))",
    "an order to a worker": "record(Kind.REQUEST, mine(), b'execute_request', b'{}', b'{}', b'{}')",
    "a second hello": "record(Kind.HELLO, 0)",
    "the beginning of what nobody sent": "record(Kind.BEGIN, 12345, b'1', b'')",
    "the end of what does not run": "record(Kind.DONE, 12345, b'1', b'0', b'', b'{}', b'{}')",
    "another reply": "record(Kind.DONE, mine(), b'1', b'0', b'x_reply', b'{}', b'{}')",
    "a status": "record(Kind.PUBLISH, mine(), b'status', b'{}', b'{}')",
    "text that is no text": "record(Kind.STDOUT, mine(), b'\\xff')",
    "a comm without a name": "record(Kind.COMM_ACCEPTED, 0, b'\\xff', b'x')",
    "no number": "record(Kind.DONE, mine(), b'one', b'0', b'execute_reply', b'{}', b'{}')",
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_costs_the_worker_that_wrote_it(frontend, what):
    """G26: what it said before is published; the next one serves."""
    parent = frontend.execute(f"print('before')\nos.write(pipe, {NONSENSE[what]})\nsignal.pause()")
    frontend.recv_begin(parent)
    frontend.recv_stream("stdout", "before\n", parent)
    frontend.recv_crash(parent, "KernelMisbehaved")
    assert frontend.run("print('next')") == [("stdout", "next\n")]


def test_marks_beyond_belief_cost_no_more_than_order(frontend):
    """G26: a record that claims more bytes before it than there are is taken all the same."""
    beyond = "(1 << 63, (1 << 64) - 1)"
    code = f"_ = os.write(pipe, record(Kind.STDOUT, mine(), b'text', marks={beyond}))"
    assert frontend.run(code) == [("stdout", "text")]
    assert frontend.run("print('next')") == [("stdout", "next\n")]


def test_a_worker_that_closes_its_pipe_is_ended(frontend):
    """G26, race 6: nothing can be heard of it any more."""
    parent = frontend.execute("print('before'); os.close(pipe); signal.pause()")
    frontend.recv_begin(parent)
    frontend.recv_stream("stdout", "before\n", parent)
    frontend.recv_crash(parent, "KernelMisbehaved")


def test_a_worker_that_does_not_read_holds_up_nobody(frontend):
    """G12, races 25 and 26: 30 MB wait for it, and what the supervisor knows is answered."""
    pid = frontend.worker_pid()
    os.kill(pid, signal.SIGSTOP)
    big = frontend.execute("x = '" + "y" * 30_000_000 + "'; len(x)")
    frontend.request("kernel_info_request")
    frontend.request("kernel_info_request", channel="control")
    frontend.request("comm_info_request")
    frontend.beat()
    os.kill(pid, signal.SIGCONT)
    assert frontend.finish(big) == [("result", "30000000")]
