"""How far a debug session is."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """How far the debugger of this worker is."""

    OFF = "the worker has no debugger"
    STARTING = "the worker loads its debugger, or that introduces itself"
    READY = "the debugger is there, and nobody debugs"
    ON = "a client debugs"
