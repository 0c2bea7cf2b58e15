"""One request at a time, until its reply and its idle have come; and what it costs in CPU."""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from ..client import cell
from . import echo
from .row import Measure, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..trial import Live, Trial

_WARM_UP = 30
_ENOUGH = 1.0  # seconds, for what takes long
_AFTERWARDS = 0.05  # seconds in which what is left of the last request is worked off


def _request(name: str, msg_type: str, content: dict[str, Any], trial: Trial) -> dict[str, float]:
    live = trial.start()

    def one() -> None:
        live.client.request(msg_type, content)

    return _measure(name, one, live, trial)


def _comm(trial: Trial) -> dict[str, float]:
    live = trial.start()
    comm = echo.Echo(live.client)
    return _measure("comm", comm.once, live, trial)


def _measure(name: str, one: Callable[[], object], live: Live, trial: Trial) -> dict[str, float]:
    repeat(one, _WARM_UP)
    used = live.cpu()
    times = repeat(one, trial.some(200, 40))
    time.sleep(_AFTERWARDS)
    used = live.cpu() - used
    return {f"trip.{name}": statistics.median(times), f"cpu.{name}": used / len(times)}


def repeat(one: Callable[[], object], number: int) -> list[float]:
    """Do it so often, or until it has taken long enough; give the seconds of each time."""
    times: list[float] = []
    while len(times) < number and sum(times) < _ENOUGH:
        began = time.perf_counter()
        one()
        times.append(time.perf_counter() - began)
    return times


def _row(name: str, title: str, msg_type: str, content: dict[str, Any], *, code: bool) -> Row:
    trial = partial(_request, name, msg_type, content)
    return Row(name, "Round trips", trial, _measures(name, title), runs_code=code)


def _measures(name: str, title: str) -> tuple[Measure, ...]:
    return (
        Measure(f"trip.{name}", f"{title}: reply and idle", "s"),
        Measure(f"cpu.{name}", f"{title}: CPU of all processes of the kernel", "s"),
    )


ROWS = (
    _row("pass", "`pass`", "execute_request", cell("pass"), code=False),
    _row("sum", "`1+1`", "execute_request", cell("1+1"), code=True),
    _row("print", "`print(1)`", "execute_request", cell("print(1)"), code=True),
    Row("comm", "Round trips", _comm, _measures("comm", "comm echo")),
    _row(
        "complete",
        "complete `import os; os.pa`",
        "complete_request",
        {"code": "import os; os.pa", "cursor_pos": 16},
        code=True,
    ),
    _row(
        "inspect",
        "inspect `print`",
        "inspect_request",
        {"code": "print", "cursor_pos": 5, "detail_level": 0},
        code=True,
    ),
)
