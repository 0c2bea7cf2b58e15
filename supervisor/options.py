"""The command line of the supervisor. Imports nothing heavy: the zygote is forked after it."""

from __future__ import annotations

import os
from typing import NoReturn

from ..shared import sizes
from ..shared.limits import SMALLEST, Limits, parse_memory
from ..shared.tuples import NamedTuple
from ..worker.options import Options as WorkerOptions
from .policy import Policy

USAGE = """\
usage: python -m bulkhead_kernel.supervisor [-f FILE] [options] [IPython options]

  -f FILE, --connection-file=FILE  the connection file that Jupyter wrote; without it the kernel
                                   writes one, and tells its path
  --on-crash=restart|exit          after a crash, go on with a new interpreter (default), or end
                                   the kernel with status 128 + signal
  --interrupt-stuck-after=SECONDS  tell where a cell is stuck that does not hear an interrupt
                                   (default 3)
  --interrupt-kill-after=SECONDS   end an interpreter that does not hear an interrupt (default 8;
                                   'never' is possible)
  --memory-limit=SIZE              memory that the interpreter and what it starts may use, like
                                   4GiB; a cell that would pass it gets a MemoryError (default
                                   none, or JupyterHub's MEM_LIMIT)
  --cpu-limit=SECONDS              processor time that one cell may use (default none)
  --cell-timeout=SECONDS           time that one cell may take (default none)
  --measure-cells=on|off           tell in each reply what its cell used (default on)
  --subshells=on|off               let clients run things beside the running cell, in threads of
                                   the interpreter; widgets then move while it runs (default on)
  --recover=auto|on|off            keep a snapshot of the interpreter between cells, and so the
                                   variables after a crash (default auto: where that costs cells no
                                   more than a fiftieth of their time); on: after every cell
  --metrics=ADDRESS                serve metrics for Prometheus on 127.0.0.1:PORT or unix:PATH;
                                   {pid} in a path stands for the process id
  --restart-in-place=FD            a restart replaces the interpreter and nothing else; FD is what
                                   Bulkhead's provisioner listens to, which sets this option
  --log-level=LEVEL                DEBUG, INFO, WARNING (default) or ERROR
  -h, --help                       show this

The environment can say the same: --memory-limit is BULKHEAD_MEMORY_LIMIT, and so on, but for
--connection-file and --restart-in-place. The command line comes first.

Everything else goes to IPython: --profile=NAME, --ipython-dir=PATH, --matplotlib=inline,
--Class.trait=value.
"""

_STANDARD = 2  # the highest of stdin, stdout and stderr
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_ALIASES = {"-f": "--connection-file", "--IPKernelApp.connection_file": "--connection-file"}
_NAMES = (
    "--connection-file",
    "--on-crash",
    "--interrupt-stuck-after",
    "--interrupt-kill-after",
    "--memory-limit",
    "--cpu-limit",
    "--cell-timeout",
    "--measure-cells",
    "--subshells",
    "--recover",
    "--metrics",
    "--restart-in-place",
    "--log-level",
)


class Options(NamedTuple):
    """What the command line and the environment say."""

    connection_file: str
    log_level: str
    policy: Policy
    worker: WorkerOptions
    provisioner: int
    """The descriptor of the pair of sockets that the provisioner has made; -1 without one."""


def parse_options(argv: list[str]) -> Options:
    """Read the command line. Raises SystemExit, with words, for what it cannot use."""
    values, for_ipython = _split(argv)
    level = _value(values, "--log-level", "WARNING").upper()
    if level not in LEVELS:
        _fail(f"--log-level must be one of {', '.join(LEVELS)}, not {level!r}.")
    on_crash = _value(values, "--on-crash", "restart")
    if on_crash not in ("restart", "exit"):
        _fail(f"--on-crash must be 'restart' or 'exit', not {on_crash!r}.")
    limits = Limits(
        _memory_limit(values),
        _limit(values, "--cpu-limit"),
        _limit(values, "--cell-timeout"),
    )
    policy = Policy(
        _seconds(values, "--interrupt-stuck-after", 3.0),
        _seconds(values, "--interrupt-kill-after", 8.0),
        exit_on_crash=on_crash == "exit",
        limits=limits,
        metrics=_value(values, "--metrics", ""),
        subshells=_is_on(values, "--subshells"),
    )
    recover = _value(values, "--recover", "auto")
    if recover not in ("auto", "on", "off"):
        _fail(f"--recover must be 'auto', 'on' or 'off', not {recover!r}.")
    if policy.exit_on_crash:
        recover = "off"  # nothing is to go on
    file = values.get("--connection-file", "")
    session = os.urandom(16).hex()
    measure = _is_on(values, "--measure-cells")
    worker = WorkerOptions(file, session, tuple(for_ipython), limits, measure, recover)
    return Options(file, level, policy, worker, _descriptor(values))


def _split(argv: list[str]) -> tuple[dict[str, str], list[str]]:
    """Part our own options from IPython's."""
    values: dict[str, str] = {}
    for_ipython: list[str] = []
    arguments = iter(argv)
    for argument in arguments:
        if argument in ("-h", "--help"):
            print(USAGE)  # noqa: T201
            raise SystemExit(0)
        given, has_value, value = argument.partition("=")
        name = _ALIASES.get(given, given)
        if name not in _NAMES:
            for_ipython.append(argument)
            continue
        value = value if has_value else next(arguments, "")
        if not value:
            _fail(f"{given} needs a value.")
        values[name] = value
    return values, for_ipython


def _value(values: dict[str, str], name: str, default: str) -> str:
    variable = "BULKHEAD_" + name.strip("-").replace("-", "_").upper()
    return values.get(name) or os.environ.get(variable) or default


def _is_on(values: dict[str, str], name: str) -> bool:
    text = _value(values, name, "on")
    if text not in ("on", "off"):
        _fail(f"{name} must be 'on' or 'off', not {text!r}.")
    return text == "on"


def _seconds(values: dict[str, str], name: str, default: float) -> float:
    text = _value(values, name, str(default))
    if text == "never":
        return float("inf")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        _fail(f"{name} must be a number of seconds or 'never', not {text!r}.")
    return seconds


def _memory_limit(values: dict[str, str]) -> int:
    """Give the limit in bytes; 0 for none."""
    text = _value(values, "--memory-limit", "")
    if text in ("none", "0"):
        return 0
    if text:
        try:
            return parse_memory(text)
        except ValueError as error:
            _fail(f"--memory-limit: {error}, or 'none'.")
    # A hint for the whole server, this kernel included. What is no size there is not ours to judge.
    try:
        limit = sizes.parse(os.environ.get("MEM_LIMIT", ""))
    except ValueError:
        return 0
    return max(limit, SMALLEST)


def _limit(values: dict[str, str], name: str) -> float:
    """Give a limit in seconds; 0 for none."""
    if _value(values, name, "none") == "none":
        return 0.0
    text = _value(values, name, "none")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        _fail(f"{name} must be a number of seconds above 0, or 'none', not {text!r}.")
    return seconds


def _descriptor(values: dict[str, str]) -> int:
    # Not from the environment: a Jupyter that the user's code starts would pass it on.
    text = values.get("--restart-in-place", "-1")
    if text != "-1" and not (text.isascii() and text.isdigit() and int(text) > _STANDARD):
        _fail(f"--restart-in-place must be a file descriptor above {_STANDARD}, not {text!r}.")
    return int(text)


def _fail(text: str) -> NoReturn:
    raise SystemExit(f"bulkhead: {text}\n\n{USAGE}")
