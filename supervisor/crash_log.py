"""One line of JSON for each death, in a file that outlives the kernel: for whoever asks later."""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .post_mortem import Report

log = logging.getLogger(__name__)

LIMIT = 1 << 20  # bytes after which the file begins anew; the one before is kept


def path() -> Path:
    """Give the file: $BULKHEAD_CRASH_LOG, or bulkhead/crashes.jsonl in the user's state folder."""
    if given := os.environ.get("BULKHEAD_CRASH_LOG"):
        return Path(given)
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "bulkhead" / "crashes.jsonl"


def write(report: Report, pid: int) -> None:
    """Append a death. A file that cannot be written is a warning in the log, and no more."""
    try:
        _append(_entry(report, pid))
    except Exception as error:  # noqa: BLE001 - a deleted folder, no home, a full disk: no reason to fail
        log.warning("the crash log could not be written: %s", error)


def _entry(report: Report, pid: int) -> str:
    return json.dumps(
        {
            "time": datetime.now(timezone.utc).isoformat(),  # noqa: UP017 - one import less on 3.11
            "ename": report.ename,
            "evalue": report.evalue,
            "exitcode": report.exitcode,
            "worker": pid,
            "supervisor": os.getpid(),
            "cwd": _folder(),
            "line": report.line or None,
            "peak": report.peak or None,
            "report": report.plain,
        }
    )


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - a string is wanted
    except FileNotFoundError:  # somebody has deleted it
        return None


def _append(line: str) -> None:
    file = path()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if file.exists() and file.stat().st_size > LIMIT:
        file.replace(file.with_suffix(".old.jsonl"))
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with open(fd, "a", encoding="utf-8") as stream:
        stream.write(line + "\n")
