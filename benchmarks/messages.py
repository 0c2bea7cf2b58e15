"""Messages of the protocol as frames: what a lean client and the floor need, and no more.

Incoming signatures are not checked: what the client costs would be counted for the kernels.
"""

from __future__ import annotations

import hmac
import json
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

DELIMITER = b"<IDS|MSG>"
_DATE = "2026-01-01T00:00:00+00:00"


class Incoming(NamedTuple):
    """A message that was received; its content is decoded by who wants it."""

    identities: Sequence[bytes]
    header: bytes
    msg_type: str
    msg_id: str
    parent_id: str
    raw: bytes
    buffers: Sequence[bytes]

    @property
    def content(self) -> dict[str, Any]:
        """Decode the content."""
        content: dict[str, Any] = json.loads(self.raw)
        return content


def unpack(frames: Sequence[bytes]) -> Incoming:
    """Read a message."""
    at = frames.index(DELIMITER)
    header = json.loads(frames[at + 2])
    parent = json.loads(frames[at + 3]) or {}  # some send null
    return Incoming(
        frames[:at],
        frames[at + 2],
        header["msg_type"],
        header["msg_id"],
        parent.get("msg_id", ""),
        frames[at + 5],
        frames[at + 6 :],
    )


class Packer:
    """Make signed messages of one session."""

    def __init__(self, key: bytes, session: str) -> None:
        self.session = session
        self._keyed = hmac.new(key, digestmod="sha256")
        self._numbers = count(1)

    def pack(
        self, msg_type: str, content: dict[str, Any], parent: bytes = b"{}", buffers: Any = ()
    ) -> tuple[str, list[bytes]]:
        """Give the id and the frames of a new message."""
        msg_id = f"{self.session}_{next(self._numbers)}"
        header = (
            f'{{"msg_id":"{msg_id}","msg_type":"{msg_type}","session":"{self.session}",'
            f'"username":"bench","date":"{_DATE}","version":"5.5"}}'
        ).encode()
        parts = (header, parent, b"{}", json.dumps(content).encode())
        digest = self._keyed.copy()
        for part in parts:
            digest.update(part)
        return msg_id, [DELIMITER, digest.hexdigest().encode(), *parts, *buffers]
