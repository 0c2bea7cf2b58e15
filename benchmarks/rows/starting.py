"""From the start of the process to its first replies; and a restart as a manager does it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..client import DEADLINE, cell, check
from .row import Measure, Row

if TYPE_CHECKING:
    from ..trial import Trial


def _start(trial: Trial) -> dict[str, float]:
    """Both requests wait for the kernel from the beginning, as those of a quick user do."""
    file, fields = trial.address()
    client = trial.client(fields)
    info = client.send("kernel_info_request", {})
    first = client.send("execute_request", cell("1+1"))
    began = time.perf_counter()
    trial.spawn(file, client)
    client.reply(info)
    informed = time.perf_counter()
    check(client.reply(first))
    executed = time.perf_counter()
    return {"start.info": informed - began, "start.first": executed - began}


def _restart(trial: Trial) -> dict[str, float]:
    live = trial.start()
    began = time.perf_counter()
    asked = live.client.send("shutdown_request", {"restart": True}, on_control=True)
    live.client.reply(asked, on_control=True)
    live.process.wait(DEADLINE)
    client = trial.client(live.fields)
    info = client.send("kernel_info_request", {})
    trial.spawn(live.file, client)
    client.reply(info)
    return {"restart": time.perf_counter() - began}


ROWS = (
    Row(
        "start",
        "Start",
        _start,
        (
            Measure("start.info", "spawn to kernel_info_reply", "s"),
            Measure("start.first", "spawn to the reply of a first `1+1`", "s"),
        ),
        runs_code=False,
    ),
    Row(
        "restart",
        "Start",
        _restart,
        (Measure("restart", "restart: shutdown_request to kernel_info_reply", "s"),),
        runs_code=False,
    ),
)
