"""The client of ``bulkhead run`` hears a reply that comes while it sends."""

from __future__ import annotations

import asyncio

import pytest
import zmq
import zmq.asyncio
from bulkhead_kernel.kernelspec.channels import Channel
from jupyter_client.session import Session


async def receive_while_sending(channel, server, session):
    """Wait for a message; when it has come and asyncio does not know yet, send one."""
    identity, *_ = server.recv_multipart()  # of the first message, which makes us known
    waiting = asyncio.ensure_future(channel.get_msg())
    await asyncio.sleep(0)  # it waits
    session.send(server, "execute_reply", {"status": "ok"}, ident=identity)
    # Whoever asks the socket takes the one word of the arrival, as a send may do.
    assert zmq.Socket.shadow(channel.socket.underlying).poll(10_000)
    channel.send(session.msg("comm_msg"))
    return await asyncio.wait_for(waiting, 10)


@pytest.mark.parametrize("turn", range(5))
def test_a_reply_that_comes_while_a_message_is_sent_is_heard(turn):
    """G9: one reply, and it reaches whoever waits."""

    async def run():
        session = Session(key=b"key")
        with zmq.asyncio.Context() as context, zmq.Context() as plain:
            server, client = plain.socket(zmq.ROUTER), context.socket(zmq.DEALER)
            with server, client:
                client.connect(f"tcp://127.0.0.1:{server.bind_to_random_port('tcp://127.0.0.1')}")
                channel = Channel(client, session)
                channel.send(session.msg("execute_request"))
                return await receive_while_sending(channel, server, session)

    assert asyncio.run(run())["msg_type"] == "execute_reply"
