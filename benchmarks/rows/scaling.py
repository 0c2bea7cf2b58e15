"""The same with more of everything: clients that listen, bytes of output, open comms."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from ..client import cell
from . import echo
from .round_trips import repeat
from .row import Measure, Row
from .throughput import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..trial import Trial

_CLIENTS = (1, 10, 100)
_COMMS = (10, 100, 1_000, 10_000)
_SIZES = {"10 KB": 10_000, "1 MB": 1_000_000, "100 MB": 100_000_000, "1 GB": 1_000_000_000}
_LINE = 1_000  # bytes, with its end
_REPEATS = 20


def _clients(trial: Trial) -> dict[str, float]:
    """One client asks, and all listen."""
    live = trial.start()
    client = live.client
    listening = [client.subscribe() for _ in range(trial.some(_CLIENTS[-1], 10) - 1)]
    found = {}

    def one() -> None:
        client.request("execute_request", cell("pass"))

    try:
        # The most first: a socket that is closed is a client that leaves.
        for number in sorted(_CLIENTS, reverse=True):
            while len(listening) >= number:
                listening.pop().close()
            if len(listening) + 1 == number:
                repeat(one, _REPEATS)
                found[f"clients.{number}"] = statistics.median(repeat(one, 2 * _REPEATS))
    finally:
        for socket in listening:
            socket.close()
    return found


def _comms(trial: Trial) -> dict[str, float]:
    live = trial.start()
    comm = echo.Echo(live.client)
    live.client.execute("opened = []")
    found = {}
    opened = 0
    for number in _COMMS[: trial.some(len(_COMMS), 2)]:
        live.client.execute(
            f"for _ in range({number - opened}):\n    opened.append(create_comm(target_name='t'))"
        )
        opened = number
        comm.once()
        found[f"comms.{number}"] = statistics.median(repeat(comm.once, _REPEATS))
    return found


def _output(*names: str) -> Callable[[Trial], dict[str, float]]:
    def trial_of(trial: Trial) -> dict[str, float]:
        live = trial.start()
        found = {}
        for name in names[: trial.some(len(names), 2)]:
            size = _SIZES[name]
            code = f"for _ in range({size // _LINE}):\n    print('x' * {_LINE - 1})"
            output, _, over = run(live.client, code)
            if sum(len(text) for _, text in output.streams) != size:
                trial.remarks.append(f"text lost at {name}")
            found[_output_key(name)] = size / over
        return found

    return trial_of


def _output_key(name: str) -> str:
    return f"output.{name.replace(' ', '')}"


def _output_measures(*names: str) -> tuple[Measure, ...]:
    return tuple(
        Measure(
            _output_key(name), f"{name} of output, in lines of 1 KB", "B/s", more_is_better=True
        )
        for name in names
    )


ROWS = (
    Row(
        "clients",
        "Scaling",
        _clients,
        tuple(
            Measure(f"clients.{number}", f"`pass`, with {number} that listen", "s")
            for number in _CLIENTS
        ),
        runs_code=False,
        rounds=3,
    ),
    Row(
        "output",
        "Scaling",
        _output("10 KB", "1 MB", "100 MB"),
        _output_measures("10 KB", "1 MB", "100 MB"),
        rounds=3,
    ),
    Row("output-1gb", "Scaling", _output("1 GB"), _output_measures("1 GB"), rounds=1),
    Row(
        "comms",
        "Scaling",
        _comms,
        tuple(Measure(f"comms.{number}", f"comm echo, {number:,} open", "s") for number in _COMMS),
        rounds=3,
    ),
)
