"""Much at once: text, displays, buffers, requests. What gets lost on the way is told."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..client import cell
from . import echo
from .row import Measure, Row

if TYPE_CHECKING:
    from ..client import Client
    from ..messages import Incoming
    from ..trial import Trial

_PATIENCE = 60.0  # seconds for one cell


class Output:
    """Collect what a cell prints, and note when."""

    def __init__(self) -> None:
        self.first = 0.0
        """When the first text came."""
        self._messages: list[Incoming] = []

    def __call__(self, message: Incoming) -> None:
        """Hear a message. What it says is read later: the kernel's time is measured, not ours."""
        if not self.first and message.msg_type == "stream":
            self.first = time.perf_counter()
        self._messages.append(message)

    @cached_property
    def streams(self) -> list[tuple[str, str]]:
        """The texts, each with its stream, once all have come."""
        contents = (each.content for each in self._messages if each.msg_type == "stream")
        return [(content["name"], content["text"]) for content in contents]

    def lines(self) -> list[tuple[str, str]]:
        """Give the lines, each with its stream, in the order of their ends."""
        found = []
        rest = {"stdout": "", "stderr": ""}
        for name, text in self.streams:
            *whole, rest[name] = (rest[name] + text).split("\n")
            found += [(name, line) for line in whole]
        return found


def run(client: Client, code: str) -> tuple[Output, float, float]:
    """Execute a cell; give its output, and seconds to the first text and to reply and idle."""
    output = Output()
    began = time.perf_counter()
    client.execute(code, output, seconds=_PATIENCE)
    over = time.perf_counter()
    return output, (output.first or over) - began, over - began


def compare(output: Output, expected: list[tuple[str, str]], remarks: list[str]) -> None:
    """Note what is missing or in another order."""
    lines = output.lines()
    if lines == expected:
        return
    missing = len(expected) - len(lines)
    if missing > 0:
        remarks.append("lines lost")
    elif sorted(lines) == sorted(expected):
        remarks.append("another order")
    else:
        remarks.append("wrong text")


def _prints(trial: Trial) -> dict[str, float]:
    live = trial.start()
    number = trial.some(200_000, 20_000)
    output, first, over = run(live.client, f"for i in range({number}):\n    print(i)")
    compare(output, [("stdout", str(i)) for i in range(number)], trial.remarks)
    return {
        "prints": over,
        "prints.first": first,
        "prints.messages": len(output.streams) / over,
    }


def _large(trial: Trial) -> dict[str, float]:
    live = trial.start()
    size = trial.some(50_000_000, 5_000_000)
    output, _, over = run(live.client, f"print('x' * {size})")
    if sum(len(text) for _, text in output.streams) != size + 1:
        trial.remarks.append("text lost")
    return {"large": over}


_TURNS = """\
import sys
for i in range({}):
    print(i, flush=True)
    print(i, file=sys.stderr, flush=True)
"""


def _turns(trial: Trial) -> dict[str, float]:
    live = trial.start()
    number = trial.some(10_000, 1_000)
    output, _, over = run(live.client, _TURNS.format(number))
    names = ("stdout", "stderr")
    compare(output, [(name, str(i)) for i in range(number) for name in names], trial.remarks)
    return {"turns": over, "turns.messages": len(output.streams) / over}


def _displays(trial: Trial) -> dict[str, float]:
    live = trial.start()
    live.client.execute("from IPython.display import display")
    number = trial.some(5_000, 500)
    came: list[Incoming] = []
    began = time.perf_counter()
    code = f"for i in range({number}):\n    display(i)"
    live.client.execute(code, came.append, seconds=_PATIENCE)
    over = time.perf_counter() - began
    if sum(message.msg_type == "display_data" for message in came) != number:
        trial.remarks.append("displays lost")
    return {"displays": number / over}


def _buffers(trial: Trial) -> dict[str, float]:
    live = trial.start()
    comm = echo.Echo(live.client)
    buffer: Any = bytes(trial.some(50_000_000, 5_000_000))
    comm.once([buffer])
    began = time.perf_counter()
    came = comm.once([buffer])
    over = time.perf_counter() - began
    if [len(back) for back in came.buffers] != [len(buffer)]:
        trial.remarks.append("buffer lost")
    return {"buffers": 2 * len(buffer) / over}


def _burst(trial: Trial) -> dict[str, float]:
    live = trial.start()
    client = live.client
    number = trial.some(1_000, 200)
    began = time.perf_counter()
    sent = {client.send("execute_request", cell("pass")) for _ in range(number)}
    client.finish(set(sent), sent, lambda _: None, seconds=_PATIENCE)
    return {"burst": number / (time.perf_counter() - began)}


def _row(name: str, trial: Any, *measures: Measure, runs_code: bool = True) -> Row:
    return Row(name, "Throughput", trial, measures, runs_code=runs_code)


ROWS = (
    _row(
        "prints",
        _prints,
        Measure("prints", "200,000 `print(i)`: reply and idle", "s"),
        Measure("prints.first", "200,000 `print(i)`: first text", "s"),
        Measure("prints.messages", "200,000 `print(i)`: stream messages", "messages/s"),
    ),
    _row("large", _large, Measure("large", "one `print` of 50 MB", "s")),
    _row(
        "turns",
        _turns,
        Measure("turns", "20,000 flushed lines, stdout and stderr in turn", "s"),
        Measure("turns.messages", "20,000 flushed lines: stream messages", "messages/s"),
    ),
    _row(
        "displays",
        _displays,
        Measure("displays", "5,000 `display(i)`", "displays/s", more_is_better=True),
    ),
    _row(
        "buffers",
        _buffers,
        Measure("buffers", "comm echo of 50 MB: both ways together", "B/s", more_is_better=True),
    ),
    _row(
        "burst",
        _burst,
        Measure("burst", "1,000 `pass` sent at once", "requests/s", more_is_better=True),
        runs_code=False,
    ),
)
