"""A request's beginning on its way out of the worker: kept back, with its code, or overtaken."""

from __future__ import annotations

import dis
import os
import socket
import sys
from types import SimpleNamespace

import pytest
from bulkhead_kernel.shared import ledger as ledgers
from bulkhead_kernel.shared import records, spool
from bulkhead_kernel.shared.frames import Decoder
from bulkhead_kernel.shared.handover import Handover
from bulkhead_kernel.shared.ledger import Ledger, Slot
from bulkhead_kernel.shared.records import Kind
from bulkhead_kernel.worker import channel
from bulkhead_kernel.worker.channel import Sender

CODE = b'{"code":"1"}'


class Pair:
    """A sender, and what comes out at the other end of its pipe and its spool."""

    def __init__(self):
        block = ledgers.create()
        self.ledger, theirs = Ledger(block), Ledger(block)
        os.close(block)
        self._ring = spool.create()
        self.reader = spool.Reader(self._ring, theirs)
        self._pipes = [os.pipe() for _ in range(3)]
        (self.records, fd), (out, _), (err, _) = self._pipes
        os.set_blocking(self.records, False)
        ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._handover = Handover(ours.fileno())
        ours.close()
        self.sender = Sender(
            fd, (out, err), self.ledger, spool.Writer(self._ring, self.ledger),
            self._handover, SimpleNamespace(deliver=lambda: None),
        )  # fmt: skip

    def interrupted_by(self, handler):
        """Have a signal handler run in the middle of what is sent next."""
        flush = self.sender.flush

        def flush_and_handle():
            self.sender.flush = flush
            handler()

        self.sender.flush = flush_and_handle

    def told(self):
        """Give what was said, in order: kind and request."""
        told = []
        try:
            data = os.read(self.records, 1 << 16)
        except BlockingIOError:
            data = b""
        for record in map(records.decode, Decoder().feed(data)):
            if record.kind is Kind.SPOOLED:
                told += self.reader.take(record.number)
            else:
                told.append(record)
        told += self.reader.take(self.reader.end())
        return [(record.kind.name, record.number) for record in told]

    def close(self):
        for fd in (self._ring, *(fd for pipe in self._pipes for fd in pipe)):
            os.close(fd)
        self._handover.close()
        self._theirs.close()


@pytest.fixture
def pair():
    """Give a sender that nobody listens to."""
    pair = Pair()
    yield pair
    pair.close()


def begin(pair):
    pair.sender.hold(Kind.BEGIN, 1, b"1", b"")


def done(pair):
    pair.sender.send(Kind.DONE, 1, b"2", b"0", b"execute_reply", b"{}", b"{}")


def test_a_cell_begins_with_its_code(pair):
    """G2: one record, in the ring; nobody is woken for it."""
    begin(pair)
    pair.sender.show_code(1, CODE)
    with pytest.raises(BlockingIOError):
        os.read(pair.records, 1)
    done(pair)
    assert pair.told() == [("BEGIN_CELL", 1), ("DONE", 1)]


@pytest.mark.parametrize("kind", ["stream", "message"])
def test_what_a_thread_says_meanwhile_comes_after_the_beginning(pair, kind):
    """G2: the beginning that is kept back goes out with whatever is said next."""
    begin(pair)
    if kind == "stream":
        pair.sender.print(Kind.STDOUT, 1, b"text")
    else:
        pair.sender.send(Kind.PUBLISH, 1, b"display_data", b"{}", b"{}")
    pair.sender.show_code(1, CODE)
    done(pair)
    said = "STDOUT" if kind == "stream" else "PUBLISH"
    assert pair.told() == [("BEGIN", 1), (said, 1), ("PUBLISH", 1), ("DONE", 1)]


def test_what_a_signal_handler_says_in_the_middle_comes_after_the_beginning(pair):
    """G2, G28: the cell begins once, and nothing of it stands before that."""
    begin(pair)
    pair.interrupted_by(lambda: pair.sender.print(Kind.STDERR, 1, b"heard"))
    pair.sender.show_code(1, CODE)
    done(pair)
    assert pair.told() == [("BEGIN", 1), ("STDERR", 1), ("PUBLISH", 1), ("DONE", 1)]


def test_a_silent_cell_begins_without(pair):
    """G2: there is no code to be shown, and the beginning waits for nothing."""
    begin(pair)
    pair.sender.release()
    assert pair.told() == [("BEGIN", 1)]


def test_a_signal_handler_in_the_middle_of_a_release(pair):
    """G2, G28: as with the code."""
    begin(pair)
    pair.interrupted_by(lambda: pair.sender.print(Kind.STDERR, 1, b"heard"))
    pair.sender.release()
    done(pair)
    assert pair.told() == [("BEGIN", 1), ("STDERR", 1), ("DONE", 1)]


def test_the_code_of_another_shell_s_cell_is_its_own(pair):
    """G10: a subshell keeps nothing back; what the main shell does goes out before it."""
    begin(pair)
    pair.sender.show_code(2, CODE)
    pair.sender.show_code(1, CODE)
    assert pair.told() == [("BEGIN", 1), ("PUBLISH", 2), ("PUBLISH", 1)]


@pytest.mark.parametrize("size", [spool.LONGEST, spool.SIZE])
def test_code_that_is_too_long_for_the_ring_goes_by_the_pipe(pair, size):
    """G2: behind its beginning; what the pipe has no room for is another matter."""
    begin(pair)
    content = b"x" * size
    told = []
    pair.sender._resume = lambda: told.extend(
        (item.kind.name, item.number) for item in pair.sender._waiting_items
    )
    pair.sender.show_code(1, content)
    assert told == [("BEGIN", 1), ("PUBLISH", 1)]


class AlarmError(Exception):
    """What a handler of the user's raises."""


class Handler:
    """Runs at the n-th place at which Python would run a signal handler in the code of a sender.

    That is where a function begins, after a call, and where a loop goes round.
    """

    FILES = frozenset(module.__file__ for module in (channel, ledgers, records, spool))
    PLACES = frozenset({"CALL", "CALL_KW", "CALL_FUNCTION_EX", "JUMP_BACKWARD"})

    def __init__(self, place, action):
        self._left = place
        self._action = action
        self._before = {}

    @property
    def has_run(self):
        return self._left <= 0

    def __enter__(self):
        sys.settrace(self._enter)

    def __exit__(self, *_):
        sys.settrace(None)
        self._before.clear()  # the frames, and with them all that a sender has open

    def _enter(self, frame, event, _):
        if frame.f_code.co_filename not in self.FILES:
            return None
        # The function first: Python 3.13 asks for it when it is told to tell of opcodes.
        frame.f_trace = self._look
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self._come_by()
        return self._look

    def _look(self, frame, event, _):
        if event == "opcode":
            if self._before.get(frame) in self.PLACES:
                self._come_by()
            self._before[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
        return self._look

    def _come_by(self):
        self._left -= 1
        if self._left == 0:
            sys.settrace(None)
            self._action()


@pytest.mark.parametrize("full", [False, True], ids=["there is room", "the ring is full"])
@pytest.mark.parametrize("says", [False, True], ids=["silent", "says something"])
@pytest.mark.parametrize("raises", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize("silent", [False, True], ids=["a cell", "a silent cell"])
def test_a_signal_handler_at_any_place_leaves_a_cell_its_beginning(silent, raises, says, full):
    """G2, G9, G28: once, and before all else. A request without one would cost the worker."""

    def handle():
        if says:
            pair.sender.print(Kind.STDERR, 1, b"heard")
        if raises:
            raise AlarmError

    place = 0
    while True:
        place += 1
        pair = Pair()
        if full:
            pair.ledger[Slot.SPOOLED] = pair.sender._marked = pair.reader._taken = spool.SIZE - 10
            pair.ledger[Slot.TAKEN] = 0
        handler = Handler(place, handle)
        begin(pair)
        try:
            with handler:
                if silent:
                    pair.sender.release()
                else:
                    pair.sender.show_code(1, CODE)
        except AlarmError:
            pair.sender.send(Kind.PUBLISH, 1, b"error", b"{}", b"{}")
        done(pair)
        told = [kind for kind, _ in pair.told()]
        pair.close()
        begins = [at for at, kind in enumerate(told) if kind.startswith("BEGIN")]
        assert begins == [0], (place, told)
        assert told[-1] == "DONE", (place, told)
        # What it says before it raises in the middle of a write may be what is given up for that.
        assert not (says and handler.has_run and not raises) or "STDERR" in told, (place, told)
        if not handler.has_run:
            break
    assert place > 20, "there are places"
