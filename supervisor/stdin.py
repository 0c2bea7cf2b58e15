"""The stdin socket: what a cell asks its client, and what comes back. Used by Shell alone."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..shared import records
from ..shared.records import Kind
from . import multipart
from .errors import MalformedMessageError
from .wire import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import zmq

    from .events import InputAsked
    from .lane import Lane
    from .wire import Builder, Message, Signer

log = logging.getLogger(__name__)


class Stdin:
    """Prompts and their answers."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        signer: Signer,
        builder: Builder,
        lanes: Callable[[], Iterable[Lane]],
    ) -> None:
        """Take the socket, and what gives the lanes in which something may be asked."""
        self._socket = socket
        self._signer = signer
        self._builder = builder
        self._lanes = lanes

    def serve(self, ready: dict[object, int]) -> None:
        """Take what has come."""
        if self._socket in ready:
            self._receive()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def ask(self, event: InputAsked) -> None:
        """Ask the client of the running request for a line; all that it printed is published."""
        for lane in self._lanes():
            current = lane.queue.current
            if current is None or current.number != event.number:
                continue
            self._receive()  # what was typed for an earlier prompt answers no later one
            msg_id = self._builder.new_id()
            lane.prompt = event.prompt, msg_id
            message = current.message
            frames = self._builder.build(
                message.identities, "input_request", message.header, event.content, msg_id=msg_id
            )
            multipart.send(self._socket, frames)

    def _receive(self) -> None:
        while True:
            if (frames := multipart.receive(self._socket)) is None:
                return
            try:
                self._take(parse(frames, self._signer))
            except MalformedMessageError as error:
                log.warning("stdin: a message was dropped: %s", error)

    def _take(self, message: Message) -> None:
        if message.msg_type == "input_reply":
            for lane in self._lanes():
                if (current := lane.answers(message)) is not None and lane.prompt is not None:
                    name, _ = lane.prompt
                    lane.prompt = None
                    parts = message.content, name
                    lane.send(records.encode(Kind.INPUT_REPLY, current.number, parts))
                    return
        log.info("stdin: a %s that nobody waits for was dropped", message.msg_type)
