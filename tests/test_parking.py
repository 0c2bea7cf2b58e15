"""What is said about snapshots: any packet is a message or none, and costs nothing else (G26)."""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import ExitStack

import pytest
from bulkhead_kernel.shared import parking
from bulkhead_kernel.shared.parking import (
    Awake,
    Donate,
    Donated,
    Heir,
    Inherit,
    Inherited,
    Loading,
    Parked,
    Unable,
    Wake,
)
from hypothesis import given
from hypothesis import strategies as st

words = st.lists(st.text(max_size=20), max_size=5).map(tuple)
numbers = st.integers(0, 1 << 40)
messages = st.one_of(
    st.builds(Parked, numbers, numbers, st.floats(0, 1e6), words, st.text(max_size=50)),
    st.builds(Unable, st.text(max_size=50), numbers, st.booleans()),
    st.builds(Wake, numbers, numbers),
    st.builds(Awake, st.text(max_size=50), words),
    st.builds(Donate, st.booleans(), st.floats(0, 1e6), numbers),
    st.builds(Donated, st.booleans()),
    st.just(Heir()),
    st.builds(Inherit, words, words, numbers),
    st.builds(Loading, numbers, st.text(max_size=50), numbers),
    st.builds(Inherited, words, numbers, words, numbers, st.booleans()),
)
KINDS = (Parked, Unable, Wake, Awake, Donate, Donated, Heir, Inherit, Loading, Inherited)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def pair():
    with ExitStack() as stack:
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        yield [stack.enter_context(end) for end in ends]


class TestMessages:
    @given(messages)
    def test_arrive_as_they_were_sent(self, pair, message):
        """G41: what is said is what is heard."""
        one, other = pair
        parking.send(one, message)
        assert parking.receive(other, 1) == (message, [])

    def test_bring_descriptors_that_no_program_inherits(self, pair):
        """G38: a snapshot's end in a program of the user's would keep it from ending."""
        one, other = pair
        reader, writer = os.pipe()
        parking.send(one, Parked(1, 2, 0.5, ()), (writer,))
        message, (received,) = parking.receive(other, 1)
        os.write(received, b"x")
        assert (message, os.read(reader, 1)) == (Parked(1, 2, 0.5, ()), b"x")
        assert not os.get_inheritable(received)
        for fd in (reader, writer, received):
            os.close(fd)

    def test_are_cut_so_that_they_fit(self, pair):
        """G42: a thousand reasons are told by the first of them, cut where they are endless."""
        one, other = pair
        parking.send(one, Awake("why" * 10_000, tuple("loss" * 1000 for _ in range(1000))))
        message, _ = parking.receive(other, 0)
        assert isinstance(message, Awake)
        assert message.why_not.startswith("whywhy")
        assert all(loss.startswith("lossloss") for loss in message.losses)

    def test_end_with_their_sender(self):
        """G32: whoever waits learns that nobody will come."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        one.close()
        with other, pytest.raises(EOFError):
            parking.receive(other, 1)


class TestForeignPackets:
    @given(st.binary(min_size=1, max_size=200))
    def test_bytes_are_no_message(self, pair, data):
        """G26: whatever the bytes are."""
        one, other = pair
        one.send(data)
        assert parking.receive(other, 1)[0] is None

    @given(
        st.sampled_from([*(kind.__name__ for kind in KINDS), "Other", 3, None]),
        st.dictionaries(
            st.sampled_from([name for kind in KINDS for name in kind._fields]),
            json_values,
        ),
    )
    def test_json_is_a_message_of_its_types_or_none(self, pair, kind, fields):
        """G26: nothing gets through that a reader would stumble over."""
        one, other = pair
        one.send(json.dumps({"kind": kind, **fields}).encode())
        message, _ = parking.receive(other, 1)
        if message is not None:
            assert type(message).__name__ == kind
            assert set(fields) == set(message._fields)
            assert all(type(value) is not list for value in message)


@pytest.mark.skipif(sys.platform != "linux", reason="snapshots need Linux")
class TestAWorkerThatLies:
    @pytest.mark.parametrize(
        "packet",
        [
            b"\x80\x04garbage",
            b'{"kind": "Parked", "pid": 1, "after": 0, "cost": 0, "losses": []}',
            b'{"kind": "Wake", "next_count": 1, "parent": 1}',
            b"[" * 60_000,
        ],
    )
    def test_gains_nothing(self, launch, packet):
        """G26: a line in the log, and nothing else; its snapshots are still good."""
        fresh = launch(options=("--recover=on",))
        fresh.run("import os, socket; line = get_ipython().snapshots._line; x = 1")
        fresh.run(f"n = line.send({packet!r})")
        fresh.run(f"n = socket.send_fds(line, [{packet!r}], [0])")
        fresh.request("kernel_info_request", channel="control")
        assert "no word about snapshots is like this" in fresh.kernel.log.read_text()
        parent = fresh.execute("os._exit(3)")
        fresh.recv_begin(parent)
        assert "Its variables are back" in " ".join(fresh.recv_crash(parent)["traceback"])
        assert fresh.run("x") == [("result", "1")]

    def test_that_hangs_up_is_a_worker_without_snapshots(self, launch):
        """G26, G42."""
        fresh = launch(options=("--recover=on",))
        fresh.run("import os; get_ipython().snapshots._line.close(); x = 1")
        parent = fresh.execute("os._exit(3)")
        fresh.recv_begin(parent)
        assert "Its variables are gone" in " ".join(fresh.recv_crash(parent)["traceback"])
        assert fresh.run("'x' in globals()") == [("result", "False")]
