"""A client that hears each reply, also one that comes while it sends.

jupyter_client sends past the socket that asyncio watches (a shadow of it). ZMQ tells of an arrival
once, by whichever call comes next; if that is the send, asyncio never learns of it, and whoever
waits for the reply waits for ever. nbclient sends while it waits, wherever a cell prints into an
output widget: one run of rich's progress bar in ten hung like this.
"""

from __future__ import annotations

from typing import Any

import zmq
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from traitlets import Type


class Channel(AsyncZMQSocketChannel):  # type: ignore[misc]
    """A channel on which one may send while another waits."""

    def send(self, msg: dict[str, Any]) -> None:
        """Send a message; then let asyncio look whether something has come."""
        super().send(msg)
        self.socket.get(zmq.EVENTS)  # pyzmq's asyncio socket sees to what it finds


class Client(AsyncKernelClient):  # type: ignore[misc]
    """An asynchronous client with such channels."""

    shell_channel_class = Type(Channel)
    control_channel_class = Type(Channel)
    stdin_channel_class = Type(Channel)
