"""Blocks of anonymous memory that processes share by a file descriptor."""

from __future__ import annotations

import os
from pathlib import Path


def create(name: str, size: int) -> int:
    """Make a block of zeros, in bytes, and give its file descriptor (not inheritable)."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create(name)
    else:  # macOS has no memfd; an unlinked file maps just as well
        import tempfile  # noqa: PLC0415 - slow to import, and not needed on Linux

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd


def reopen_for_reading(fd: int) -> int:
    """Give a descriptor of the same block that cannot be written to, where the system has that."""
    path = Path(f"/proc/self/fd/{fd}")
    return os.open(path, os.O_RDONLY) if path.exists() else os.dup(fd)
