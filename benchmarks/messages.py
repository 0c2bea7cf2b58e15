"""Messages of the protocol as frames: what a lean client and the floor need, and no more.

Incoming signatures are not checked: what the client costs would be counted for the kernels.
"""

from __future__ import annotations

import hmac
import json
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

DELIMITER = b"<IDS|MSG>"
_DATE = "2026-01-01T00:00:00+00:00"
_STATUS = 100  # bytes in which a status has said what it is


class Incoming:
    """A message that was received. What nobody asks for is not decoded: that takes time, too."""

    def __init__(self, frames: Sequence[bytes]) -> None:
        at = frames.index(DELIMITER)
        self.identities = frames[:at]
        self.header = frames[at + 2]
        self._parent = frames[at + 3]
        self.raw = frames[at + 5]
        self.buffers = frames[at + 6 :]

    @cached_property
    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self.header)
        return fields

    @property
    def msg_type(self) -> str:
        """The type."""
        return str(self._fields["msg_type"])

    @property
    def msg_id(self) -> str:
        """The id."""
        return str(self._fields["msg_id"])

    @property
    def parent_id(self) -> str:
        """The id of what it answers, or ''."""
        parent = json.loads(self._parent) or {}  # some send null
        return str(parent.get("msg_id", ""))

    @property
    def content(self) -> dict[str, Any]:
        """Decode the content."""
        content: dict[str, Any] = json.loads(self.raw)
        return content

    @property
    def is_status(self) -> bool:
        """Tell whether it says busy or idle. Inside of a string, the quotes would be escaped."""
        return b'"execution_state"' in self.raw[:_STATUS] and self.msg_type == "status"


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
