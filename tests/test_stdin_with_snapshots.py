"""The tests of test_stdin once more, with a snapshot before every request: it costs no promise."""

from __future__ import annotations

from test_stdin import *  # noqa: F403

KERNEL = {"options": ("--recover=on",)}
