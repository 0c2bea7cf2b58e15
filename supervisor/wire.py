"""Jupyter's messages as frames: sign, parse, build. Pure and total: no socket, no surprise.

"The Wire Protocol" in Jupyter's messaging documentation describes the frames. What a client sent is
checked and kept as the bytes that came: its header goes back as parent_header to the letter, with
the fields that we do not know. What the worker made is signed and sent as the bytes that it made.
"""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from itertools import count
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

from ..shared.tuples import NamedTuple
from .errors import MalformedMessageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .events import Reply

DELIMITER = b"<IDS|MSG>"
PROTOCOL_VERSION = "5.6"
SCHEMES = ("hmac-sha256", "hmac-sha512", "hmac-md5")
MUCH = 1 << 22
"""Characters of long texts after which it is worth to be able to encode them fast."""

_LONG = 1 << 14
_NAMES = 100  # of messages that are kept as JSON
HISTORY = 65_536
"""Signatures that are remembered, so that a message is not taken twice."""

NO_PARENT = b"{}"


class Message(NamedTuple):
    """What a client sent, with its signature checked.

    ``header``, ``metadata`` and ``content`` are the bytes that were signed. The content may still
    be anything: whoever answers reads it, and answers an error, because an answer is promised (G9).
    """

    identities: tuple[bytes, ...]
    header: bytes
    parent_header: bytes
    metadata: bytes
    content: bytes
    buffers: tuple[bytes, ...]
    msg_id: str
    msg_type: str
    subshell: str | None = None  # the id of the one that it is for; None is the main shell
    session: str = ""  # the client's; '' if it has none
    date: str = ""  # when the client made it, by its own clock and in its own words

    def parsed_content(self) -> dict[str, Any]:
        """Read the content. Raises MalformedMessageError; what is for the worker is read there."""
        return _dict("content", self.content)

    def parent(self) -> str:
        """Give the msg_id of the message that this one answers, or ''."""
        msg_id = json.loads(self.parent_header).get("msg_id", "")
        return msg_id if isinstance(msg_id, str) else ""


def _keyed(key: bytes, name: str) -> hmac.HMAC:
    """Make what signs: the object of C inside of Python's, where there is one, at half the cost."""
    keyed = hmac.new(key, digestmod=name)
    return getattr(keyed, "_hmac", None) or keyed


class Signer:
    """Sign with one key, and check signatures, each of which is good once.

    Shared by the threads that receive, so that what was seen on one channel is not taken on
    another; the lock is held for a look-up and never while waiting.
    """

    def __init__(self, key: bytes, scheme: str = "hmac-sha256") -> None:
        """Raise ValueError for a scheme that is not one of SCHEMES."""
        if scheme not in SCHEMES:
            raise ValueError(
                f"unknown signature scheme {scheme!r}: use one of {', '.join(SCHEMES)}"
            )
        self._keyed = _keyed(key, scheme.removeprefix("hmac-")) if key else None
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def sign(self, parts: Sequence[bytes]) -> bytes:
        """Give the signature of header, parent_header, metadata and content; b'' without a key."""
        if self._keyed is None:
            return b""
        digest = self._keyed.copy()
        for part in parts:
            digest.update(part)
        return digest.hexdigest().encode()

    def check(self, signature: bytes, parts: Sequence[bytes]) -> None:
        """Raise MalformedMessageError unless the signature is right and new."""
        if self._keyed is None:
            return
        if not hmac.compare_digest(self.sign(parts), signature):
            raise MalformedMessageError("its signature is missing or wrong")
        with self._lock:
            if signature in self._seen:
                raise MalformedMessageError("its signature was seen before (a replay)")
            self._seen[signature] = None
            if len(self._seen) > HISTORY:
                self._seen.popitem(last=False)


def parse(frames: Sequence[bytes], signer: Signer) -> Message:
    """Read a multipart message. Raises MalformedMessageError, which says what is wrong."""
    frames = list(frames)
    try:
        at = frames.index(DELIMITER)
    except ValueError:
        raise MalformedMessageError("it has no <IDS|MSG> delimiter") from None
    if len(frames) - at < 6:  # noqa: PLR2004 - the delimiter, the signature and four dicts
        raise MalformedMessageError(f"it ends after {len(frames) - at - 1} of five parts")
    signature, header, parent_header, metadata, content = frames[at + 1 : at + 6]
    signer.check(signature, (header, parent_header, metadata, content))
    fields = _dict("header", header)
    for name, raw in (("parent_header", parent_header), ("metadata", metadata)):
        _dict(name, raw)
    msg_id, msg_type = fields.get("msg_id"), fields.get("msg_type")
    if not isinstance(msg_id, str) or not isinstance(msg_type, str):
        raise MalformedMessageError("its header lacks msg_id or msg_type, or they are no strings")
    subshell = fields.get("subshell_id")
    if subshell is not None and not isinstance(subshell, str):
        subshell = json.dumps(subshell)  # no such one is known
    session, date = (
        value if isinstance(value := fields.get(name), str) else "" for name in ("session", "date")
    )
    return Message(
        tuple(frames[:at]), header, parent_header, metadata, content,
        tuple(frames[at + 6 :]), msg_id, msg_type, subshell, session, date,
    )  # fmt: skip


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number in JSON")


_decode_strictly = json.JSONDecoder(parse_constant=_no_number).decode


def _dict(name: str, raw: bytes) -> dict[str, Any]:
    if raw == b"{}":
        return {}
    try:
        # Decoded here: json.loads would guess, and take UTF-16, which then stands in our messages.
        # And what is sent back to every client must be JSON for all of them: no NaN in a header.
        decode = _decode_strictly if name == "header" else json.loads
        value = decode(raw.decode())
    except (ValueError, RecursionError) as error:
        raise MalformedMessageError(f"its {name} is no JSON in UTF-8: {error}") from error
    if not isinstance(value, dict):
        raise MalformedMessageError(f"its {name} is JSON but no object")
    return value


class Builder:
    """Build the messages of one kernel: one session for its whole life (G24)."""

    def __init__(self, signer: Signer, session: str, username: str = "kernel") -> None:
        self.session = session
        self._signer = signer
        self._numbers = count(1)
        self._names: dict[str, str] = {}
        self._second = (0, "")  # since the epoch, and as it is written
        self._head = f'"session":"{self.session}","username":{json.dumps(username)}'

    def new_id(self) -> str:
        """Give a msg_id that nobody else uses."""
        return f"{self.session}_{next(self._numbers)}"

    def build(
        self,
        identities: Sequence[bytes],
        msg_type: str,
        parent_header: bytes,
        content: bytes,
        metadata: bytes = b"{}",
        buffers: Sequence[bytes] = (),
        msg_id: str = "",
    ) -> list[bytes]:
        """Give the frames of a new message, dated now."""
        msg_id = msg_id or self.new_id()
        date = self._date()
        header = (
            f'{{"msg_id":"{msg_id}","msg_type":{self._quoted(msg_type)},'
            f'{self._head},"date":"{date}","version":"{PROTOCOL_VERSION}"}}'
        ).encode()
        parts = (header, parent_header, metadata, content)
        return [*identities, DELIMITER, self._signer.sign(parts), *parts, *buffers]

    def _date(self) -> str:
        """Give the time as ISO 8601 has it: ``datetime`` takes five times as long."""
        now, fraction = divmod(time.time_ns(), 1_000_000_000)
        second, written = self._second  # as one: several threads build messages
        if second != now:
            written = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
            self._second = (now, written)
        return f"{written}.{fraction // 1000:06d}+00:00"

    def _quoted(self, msg_type: str) -> str:
        quoted = self._names.get(msg_type)
        if quoted is None:
            quoted = json.dumps(msg_type)
            if len(self._names) < _NAMES:  # a worker may invent more than there are
                self._names[msg_type] = quoted
        return quoted

    def reply(self, reply: Reply) -> list[bytes]:
        """Give the frames of a reply, addressed to whoever asked."""
        request = reply.request.message
        return self.build(
            request.identities, reply.msg_type, request.header, reply.content, reply.metadata
        )


_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make one each time


def dumps(content: dict[str, Any]) -> bytes:
    """Encode content of our own making (the worker's comes encoded)."""
    return _encode(content).encode()


class Texts:
    """Encodes the content of stream messages, at a tenth of what ``dumps`` takes for a short one.

    msgspec takes a sixth for long ones; but it takes 20 ms and 2 MB to be imported, which a kernel
    whose cells print little shall not pay.
    """

    def __init__(self) -> None:
        self._patience = MUCH
        self._fast: Callable[[Any], bytes] | None = None

    def encode(self, name: str, text: str) -> bytes:
        """Encode; ``name`` is plain."""
        if len(text) >= _LONG:
            if self._fast is not None:
                with suppress(UnicodeEncodeError):  # a lone surrogate
                    return self._fast({"name": name, "text": text})
            self._patience -= len(text)
            if self._patience < 0 and self._fast is None:
                from msgspec.json import encode  # noqa: PLC0415 - see above

                self._fast = encode
        return f'{{"name":"{name}","text":{encode_basestring_ascii(text)}}}'.encode()
