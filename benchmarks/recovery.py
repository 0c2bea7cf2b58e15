"""What snapshots cost and what they are worth: ``python3 -m benchmarks.recovery``.

Two kernels side by side, with recovery on after every cell and off: an empty cell, a cell that
writes over all of its memory, a crash up to the end of the next cell. For heaps of several sizes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import environments
from benchmarks.kernels import named

if TYPE_CHECKING:
    from benchmarks.client import Client

MODES = ("off", "auto", "on")
MIB = 1 << 20
_QUIET = 1.0  # seconds without a request: enough for a snapshot of any size
_FILL = """
import os, numpy
parts = [numpy.ones({part}, dtype=numpy.uint8) for _ in range({count})]
"""
HEAPS = {
    # Blocks beneath 4 MiB stay on small pages; numpy asks for huge ones from there on.
    "50 MB": _FILL.format(part=2 * MIB, count=25),
    "100 MB": _FILL.format(part=2 * MIB, count=50),
    "1 GB": _FILL.format(part=2 * MIB, count=500),
    "1 GB, huge pages": _FILL.format(part=500 * MIB, count=2),
    "4 GB, huge pages": _FILL.format(part=500 * MIB, count=8),
}
_COST = (
    "b = get_ipython().snapshots.budget; "
    "open('cost', 'w').write(f'{b.taken} {b.spent / max(1, b.taken)}')"
)


def main() -> int:
    """Measure, and print a table in markdown."""
    options = _options()
    environments.make(["bulkhead"], again=options.again)
    environments.enter(sys.argv[1:], module="benchmarks.recovery")
    print("| heap | mode | empty cell | snapshot | write over all | crash to the next cell |")
    print("|---|---|---|---|---|---|")
    for heap in options.heaps:
        for mode, row in _measure(heap, options.rounds).items():
            print(f"| {heap} | {mode} | {' | '.join(row)} |", flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--heaps", nargs="+", default=list(HEAPS), choices=HEAPS, metavar="HEAP")
    parser.add_argument("--rounds", type=int, default=9, metavar="N")
    parser.add_argument("--again", action="store_true", help="install the kernel anew")
    return parser.parse_args()


def _measure(heap: str, rounds: int) -> dict[str, list[str]]:
    """Measure one heap in all modes, by turns."""
    import zmq  # noqa: PLC0415 - of the environment that was entered

    from benchmarks.client import Client  # noqa: PLC0415
    from benchmarks.process import Process, connect, forbid_core_files  # noqa: PLC0415

    forbid_core_files()
    samples: dict[str, dict[str, list[float]]] = {mode: {} for mode in MODES}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        context = stack.enter_context(zmq.Context())
        clients: dict[str, Client] = {}
        for mode in MODES:
            home = folder / mode
            home.mkdir()
            path, fields = connect(home)
            kernel = named("bulkhead")
            kernel = replace(kernel, argv=(*kernel.argv, f"--recover={mode}"))
            process = Process(kernel, path, home)
            stack.callback(process.close)
            client = clients[mode] = Client(context, fields)
            stack.callback(client.close)
            client.pidfd = process.pidfd
            client.listen()
            client.execute(HEAPS[heap], seconds=120)
            time.sleep(_QUIET)  # what has to be, has been done
        for _ in range(rounds):
            for mode, client in clients.items():
                _round(client, HEAPS[heap], samples[mode], lost=mode == "off")
        costs = {mode: _cost(clients[mode], folder / mode) for mode in MODES}
    return {
        mode: [
            _shown(samples[mode]["empty"]),
            costs[mode],
            _shown(samples[mode]["write"]),
            _shown(samples[mode]["crash"]),
        ]
        for mode in MODES
    }


def _round(client: Client, fill: str, samples: dict[str, list[float]], *, lost: bool) -> None:
    def timed(name: str, code: str) -> None:
        began = time.perf_counter()
        client.execute(code, seconds=120)
        samples.setdefault(name, []).append(time.perf_counter() - began)

    for _ in range(5):
        timed("empty", "pass")
    time.sleep(_QUIET)
    timed("write", "for part in parts: part += 1")
    time.sleep(_QUIET)
    began = time.perf_counter()
    client.request("execute_request", _fatal(), seconds=120)
    client.execute("1 + 1", seconds=120)
    samples.setdefault("crash", []).append(time.perf_counter() - began)
    # With recovery, what is there is what was there.
    client.execute(fill if lost else "assert len(parts)", seconds=120)
    time.sleep(_QUIET)


def _fatal() -> dict[str, Any]:
    from benchmarks.client import cell  # noqa: PLC0415 - as above

    return cell("os._exit(1)")


def _cost(client: Client, home: Path) -> str:
    client.execute(_COST)
    taken, seconds = (home / "cost").read_text(encoding="ascii").split()
    return f"{1000 * float(seconds):.1f} ms" if int(taken) else "-"


def _shown(seconds: list[float]) -> str:
    from benchmarks.stats import median, spread  # noqa: PLC0415 - as above

    return f"{1000 * (median(seconds) or 0):.1f} ± {1000 * (spread(seconds) or 0):.1f} ms"


if __name__ == "__main__":
    sys.exit(main())
