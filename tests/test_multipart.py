"""Messages on a socket, with the C functions of pyzmq."""

from __future__ import annotations

import pytest
import zmq
from bulkhead_kernel.supervisor import multipart


@pytest.fixture
def pair():
    """Give two sockets that are connected."""
    context = zmq.Context()
    left, right = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    left.bind("inproc://pair")
    right.connect("inproc://pair")
    yield left, right
    context.destroy(linger=0)


@pytest.mark.parametrize("size", [0, 1, 1 << 20])
def test_frames_arrive_as_they_were_sent(pair, size):
    """Copied or handed over, a long one among the buffers as a view."""
    left, right = pair
    frames = [b"%d" % at + b"x" * size for at in range(9)]
    multipart.send(left, frames)
    right.poll()
    assert list(map(bytes, multipart.receive(right))) == frames


def test_no_message_is_none(pair):
    """Nobody waits."""
    assert multipart.receive(pair[0]) is None


def test_a_message_that_is_not_there_after_all_is_none(pair, monkeypatch):
    """G9: what ZMQ announces and does not give ends no thread of the kernel."""
    left, right = pair
    multipart.send(left, [b"one", b"two"])
    right.poll()

    def nothing(*_):
        raise zmq.Again

    with monkeypatch.context() as patch:
        patch.setattr(multipart, "_receive", nothing)
        assert multipart.receive(right) is None
    assert multipart.receive(right) == [b"one", b"two"]
