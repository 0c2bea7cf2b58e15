"""Encryption of the sockets: CurveZMQ, with the keys that the connection file brings.

The kernel makes no keys and changes none; whoever starts it decides if there are any
(``transport_encryption`` of jupyter_client's KernelManager). Whoever has the public key may
connect, with any pair of keys of their own; messages are signed all the same. Keys stand in no log,
no error and no environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq

from ..shared.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS = ("curve_publickey", "curve_secretkey")
_LENGTH = 40  # characters of a key in Z85

Z85 = frozenset(
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
)


class Keys(NamedTuple):
    """The kernel's pair of keys, in Z85."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return "<Keys>"


def keys_in(fields: Mapping[str, Any]) -> Keys | None:
    """Give the keys of a connection file; None if it has none. Raises ValueError, in words.

    One key alone is an error: a kernel that went on without encryption would not be what somebody
    asked for.
    """
    given = {name: fields[name] for name in FIELDS if fields.get(name) is not None}
    if not given:
        return None
    for name in FIELDS:
        if name not in given:
            raise ValueError(f"it has {next(iter(given))} and no {name}: encryption needs both")
    for name, value in given.items():
        if not isinstance(value, str) or len(value) != _LENGTH or not Z85.issuperset(value):
            raise ValueError(f"{name} is no key of CurveZMQ, which has {_LENGTH} characters of Z85")
    if not zmq.has("curve"):
        raise ValueError(
            "it asks for encryption, and this libzmq was built without CurveZMQ. "
            "The pyzmq that pip installs has it; or let transport_encryption be 'disabled'"
        )
    keys = Keys(*(given[name].encode() for name in FIELDS))
    if _public(keys.secret) != keys.public:
        raise ValueError("curve_publickey and curve_secretkey do not belong together")
    return keys


def _public(secret: bytes) -> bytes:
    try:
        return zmq.curve_public(secret)
    except zmq.ZMQError:  # these characters encode no number of 32 bytes
        return b""


def fields_of(keys: Keys | None) -> dict[str, str]:
    """Give the fields of a connection file."""
    return {} if keys is None else dict(zip(FIELDS, map(bytes.decode, keys), strict=True))


def serve(socket: zmq.Socket[bytes], keys: Keys) -> None:
    """Let a socket talk to nobody but clients with the public key. Before it is bound."""
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
    socket.setsockopt(zmq.CURVE_SERVER, 1)
