"""The tests of test_order once more, with a snapshot before every request: it costs no promise."""

from __future__ import annotations

from test_order import *  # noqa: F403
from test_order import _setup  # noqa: F401 - a star leaves it out

KERNEL = {"options": ("--recover=on",)}
