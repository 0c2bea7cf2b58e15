"""What a person waits for: the first line of a cell, the end of one, a kernel after a crash."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import zmq

from ..client import cell, check
from ..failures import FailedError
from .row import Measure, Row
from .throughput import run

if TYPE_CHECKING:
    from ..messages import Incoming
    from ..trial import Live, Trial

_STUCK = 5.0  # seconds until an interrupt counts as not heard

_SLEEPS = "import time\nprint('here')\ntime.sleep(0.4)"
_HOLDS = """\
import ctypes
nap = ctypes.PyDLL(None).usleep  # a PyDLL's functions keep the GIL
print('here')
nap(400_000)
"""


def _first_line(key: str, code: str, trial: Trial) -> dict[str, float]:
    live = trial.start()
    live.client.execute("import ctypes, time")
    _, first, _ = run(live.client, code)
    return {key: first}


def _interrupt(key: str, code: str, trial: Trial) -> dict[str, float]:
    live = trial.start()
    client = live.client
    client.execute("import asyncio, time")
    # What a first traceback imports is there. Some kernels abort what comes soon after an error.
    client.request("execute_request", cell("1/0") | {"stop_on_error": False})
    asked = client.send("execute_request", cell(f"print('on', flush=True)\n{code}"))
    _await_output(live)
    began = time.perf_counter()
    if trial.kernel.interrupt == "message":
        client.send("interrupt_request", {}, on_control=True)
    else:
        live.process.interrupt()
    reply = client.reply(asked, _STUCK)
    over = time.perf_counter() - began
    if reply.content.get("ename") != "KeyboardInterrupt":
        trial.remarks.append(f"ends in {reply.content.get('ename', 'no error')}")
    return {key: over}


def _await_output(live: Live) -> None:
    """Wait until the cell has printed: it runs."""

    class Here(Exception):  # noqa: N818 - it leaves a wait, nothing went wrong
        pass

    def heard(message: Incoming) -> None:
        if message.msg_type == "stream":
            raise Here

    try:
        live.client.finish({"never"}, set(), heard, seconds=_STUCK)
    except Here:
        time.sleep(0.05)  # deep in what is to be interrupted


def _crash(trial: Trial) -> dict[str, float]:
    """From the cell that follows a null pointer to the next cell's reply.

    A kernel that ends is started again at once: a manager that looks now and then is slower.
    """
    live = trial.start()
    client = live.client
    client.execute("import ctypes")
    began = time.perf_counter()
    client.send("execute_request", cell("ctypes.string_at(0)"))
    poller = zmq.Poller()
    for source in (client.shell, live.process.pidfd):
        poller.register(source, zmq.POLLIN)
    ready = dict(poller.poll(int(_STUCK * 1000)))
    if not ready:
        raise FailedError(f"hung > {_STUCK:g} s")
    if client.shell in ready:
        client.shell.recv_multipart()
    else:
        live.process.wait(_STUCK)
        live.process.end()
        client = trial.client(live.fields)
        trial.spawn(live.file, client)
    try:
        check(client.reply(client.send("execute_request", cell("1+1"))))
    except FailedError as error:
        raise FailedError(f"after the crash: {error}") from None
    return {"crash": time.perf_counter() - began}


def _lines(name: str, key: str, title: str, code: str) -> Row:
    return Row(name, "Lives", partial(_first_line, key, code), (Measure(key, title, "s"),))


def _interrupts(name: str, title: str, code: str) -> Row:
    key = f"interrupt.{name}"
    measure = Measure(key, f"interrupt {title}: to the reply", "s")
    return Row(f"interrupt-{name}", "Lives", partial(_interrupt, key, code), (measure,))


ROWS = (
    _lines("line", "line", "first line shown, the cell then sleeps", _SLEEPS),
    _lines("line-gil", "line.gil", "first line shown, C then holds the GIL", _HOLDS),
    _interrupts("loop", "`while True: pass`", "while True: pass"),
    _interrupts("sleep", "`time.sleep(1000)`", "time.sleep(1000)"),
    _interrupts("await", "`await asyncio.sleep(1000)`", "await asyncio.sleep(1000)"),
    Row(
        "crash",
        "Lives",
        _crash,
        (Measure("crash", "null pointer in a cell: to the next cell's reply", "s"),),
    ),
)
