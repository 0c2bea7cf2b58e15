"""A death in words: what happened, why, what it means for the user, what to do next.

Pure: facts in, a report out. The names of the errors are stable; people match on them.
"""

from __future__ import annotations

import os
import re
import signal
from datetime import datetime, timezone
from pathlib import Path
from textwrap import wrap
from typing import Any

from ..shared import cells, sizes
from ..shared.tuples import NamedTuple
from . import recovery_words
from .recovery_words import Outcome, Standing

UNKNOWN_SENDER = (
    "An unknown sender killed the interpreter (SIGKILL). There is no evidence that memory ran out."
)

_CAUSES = {
    signal.SIGSEGV: (
        "KernelSegfault",
        "The interpreter touched memory that is not its own (segmentation fault). A library with "
        "native code did this, or was misused; so can recursion that never ends.",
    ),
    signal.SIGBUS: (
        "KernelBusError",
        "The interpreter touched memory that is not there (bus error). A file that was mapped "
        "into memory and then shortened is the usual cause.",
    ),
    signal.SIGFPE: (
        "KernelArithmeticError",
        "Native code divided an integer by zero or the like (SIGFPE).",
    ),
    signal.SIGILL: (
        "KernelIllegalInstruction",
        "Native code ran an instruction that this processor does not know (SIGILL). A library "
        "that was built for another processor is the usual cause.",
    ),
    signal.SIGABRT: (
        "KernelAborted",
        "Native code gave up by itself (abort). What it wrote to stderr may tell why.",
    ),
    signal.SIGTRAP: ("KernelTrapped", "Native code ran into a trap of its own (SIGTRAP)."),
    signal.SIGSYS: (
        "KernelForbiddenCall",
        "The interpreter made a system call that is forbidden here (SIGSYS, a sandbox's rule).",
    ),
    signal.SIGXCPU: (
        "KernelOutOfTime",
        "The interpreter used more processor time than it is allowed (SIGXCPU).",
    ),
    signal.SIGKILL: ("KernelKilled", UNKNOWN_SENDER),
}

# A cell's code bears its number in its file name, and so it stands in a stack.
_CELL_FILE = re.compile(r'File "<ipython-input-(\d+)-[0-9a-f]*>"')
_CELL_FRAME = r'File "<ipython-input-{count}-[0-9a-f]*>", line (\d{{1,9}})'
_OURS = f'File "{Path(__file__).parent.parent / "worker"}{os.sep}'
_FATAL = "Fatal Python error: "  # and the signal, which is told in other words
_THREAD = re.compile(r"(?:Current thread|Thread) 0x[0-9a-f]+ ")
_STACK_LIMIT = 60  # lines of the stack that are shown
_NATIVE_LIMIT = 8  # lines of native stderr that are shown
_WIDTH = 88  # characters of a line of our own words
EXIT_CRASHED = 70  # where the worker's own exit code was 0
_NEAR = 0.7  # of the limit: near enough for one more allocation to pass it

_RED, _BOLD, _DIM, _RESET = "\x1b[31m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
_COLOURS = re.compile(r"\x1b\[\d+m")


class Costs(NamedTuple):
    """What the cell used that ran; times in seconds."""

    began: float
    """Since the epoch."""
    wall: float
    user: float
    system: float
    peak: int
    """Bytes."""

    def metadata(self) -> dict[str, Any]:
        """Give the metadata of its reply, in the form of ``worker.costs``."""
        began = datetime.fromtimestamp(self.began, timezone.utc)  # noqa: UP017 - one import less
        return {
            "started": began.isoformat(),
            "status": "error",
            "resources": {
                "wall": self.wall,
                "cpu_user": self.user,
                "cpu_system": self.system,
                "cpu_children": 0.0,
                "memory_peak": self.peak,
                "memory_change": None,  # its memory is gone with it
            },
        }


class Ended(NamedTuple):
    """Why we ended a worker ourselves."""

    ename: str
    why: str


class Facts(NamedTuple):
    """What is known of a worker's end."""

    exitcode: int = 0  # as Python's subprocess has it: negative for a signal
    pid: int = 0
    peak: int = 0  # the most memory that it had resident, in bytes; 0 if unknown
    stack: str = ""  # what faulthandler wrote
    ended: Ended | None = None  # by us
    out_of_memory: str = ""  # the evidence; "" if there is none
    queued: int = 0  # executions that wait behind the running one
    stopping: bool = False  # the kernel is being shut down
    restarting: bool = False  # ... or begins anew
    successor: bool = True  # a new interpreter will take over
    limit: int = 0  # of the memory, in bytes; 0 for none
    costs: Costs | None = None  # of the cell that ran
    outcome: Outcome = Outcome()  # what came of the variables
    cells: str = ""  # what file names of cells begin with, if somebody debugs
    # What the transcript adds.
    leaving: bool = False  # its user said exit()
    code: str = ""  # of the running cell; "" if none ran
    execution_count: int = 0
    newest: int = 0  # the number of the newest cell, without the running one
    native: str = ""  # what was last written to descriptor 2
    before_hello: bool = False


class Report(NamedTuple):
    """What a client is told."""

    ename: str
    evalue: str
    lines: tuple[str, ...]
    exitcode: int = 0
    expected: bool = False
    """It was meant to end: nobody needs to be alarmed."""
    line: int = 0
    """The line of the cell that ran, from 1; 0 if it is not known."""
    peak: int = 0

    @property
    def text(self) -> str:
        """The report for a frontend, with colours."""
        return "\n".join(self.lines)

    @property
    def plain(self) -> str:
        """The report for a log."""
        return _COLOURS.sub("", self.text)


def report(facts: Facts) -> Report:
    """Tell a worker's end; in few words if what it left behind defies telling."""
    try:
        return _report(facts)
    except Exception:  # noqa: BLE001 - a death must never be what ends the kernel
        ename, cause = _cause(facts)
        return Report(ename, cause, (f"{ename}: {cause}",), exitcode=facts.exitcode)


def _report(facts: Facts) -> Report:
    if facts.stopping:
        return _expected("KernelStopped", "The kernel was shut down while this ran.")
    if facts.restarting:
        return _expected("KernelRestarted", "The kernel was restarted while this ran.")
    if facts.leaving:
        return _expected("KernelExited", "The interpreter has left, as the user asked with exit().")
    ename, cause = _cause(facts)
    line = _cell_line(facts)
    lines = _headline(ename, cause)
    lines += _where(facts, line)
    lines += _section("Python stack, newest frame first", _stack(_named(facts)))
    lines += _section(
        "last written to stderr" if facts.before_hello else "last written to stderr by native code",
        _tail(facts.native),
    )
    lines += ["", *_summary(facts)]
    for text in (*_suspicion(facts), *_consequences(facts)):
        lines += wrap(text, _WIDTH)
    return Report(ename, cause, tuple(lines), exitcode=facts.exitcode, line=line, peak=facts.peak)


def gave_up(last: Report) -> Report:
    """Tell that no more workers are started, and what became of the last one (G25)."""
    evalue = (
        "The interpreter died three times running before it was ready, and is not started again. "
        f"The last time: {last.evalue}"
    )
    cut = last.lines.index("") if "" in last.lines else len(last.lines)
    lines = (
        *_headline(last.ename, evalue),
        *last.lines[cut:],
        "Next: mend the cause, then restart the kernel.",
    )
    return last._replace(evalue=evalue, lines=lines, expected=True)


def no_subshell(why: str) -> Report:
    """Tell that a subshell cannot run anything."""
    evalue = f"This subshell could not be started ({why}). The main shell works as before."
    return Report("SubshellNotStarted", evalue, tuple(_headline("SubshellNotStarted", evalue)))


def exit_status(exitcode: int) -> int:
    """Give the status with which a shell would tell of such an end; never success."""
    return 128 - exitcode if exitcode < 0 else exitcode or EXIT_CRASHED


def where_stuck(
    stack: str, after: float, kill_after: float, standing: Standing | None = None
) -> str:
    """Tell where a cell is that does not hear an interrupt, and what can be done about it."""
    lost = recovery_words.would_be_left(standing)
    lines = [
        f"\n[bulkhead] The interrupt has not been heard for {after:g} s: native code is running "
        "that does not listen. It was called here:",
        *_stack(stack),
        f"[bulkhead] Wait, or interrupt again to end the interpreter now; {lost}. It is ended "
        f"{kill_after:g} s after the first interrupt.",
    ]
    return "\n".join(lines) + "\n"


def _expected(ename: str, evalue: str) -> Report:
    return Report(ename, evalue, tuple(_headline(ename, evalue)), expected=True)


def _headline(ename: str, evalue: str) -> list[str]:
    """Begin a report. Frontends break long lines in the middle of a word, so they are wrapped."""
    first, *others = wrap(f"{ename}: {evalue}", _WIDTH)
    return [first.replace(ename, f"{_RED}{ename}{_RESET}", 1), *others]


def _cause(facts: Facts) -> tuple[str, str]:
    if facts.ended is not None:
        return facts.ended
    if facts.out_of_memory and facts.exitcode == -signal.SIGKILL:
        return (
            "KernelOutOfMemory",
            f"The system killed the interpreter because memory ran out: {facts.out_of_memory}",
        )
    if facts.exitcode >= 0:
        return (
            "KernelExited",
            (
                f"The interpreter ended by itself with exit code {facts.exitcode}, without an "
                "error of Python's: os._exit() was called, or a library ended the process."
            ),
        )
    if (known := _signal(facts.exitcode)) in _CAUSES:
        return _CAUSES[known]
    return "KernelKilled", f"An unknown sender ended the interpreter: {_exit(facts.exitcode)}."


def _where(facts: Facts, line: int) -> list[str]:
    source = facts.code.split("\n")
    if not 0 < line <= len(source):
        return []
    shown = [
        f"{'---->' if number == line else '     '} {number:3d} {source[number - 1]}"
        for number in range(max(1, line - 2), min(len(source), line + 1) + 1)
    ]
    return ["", f"{_BOLD}In line {line} of the cell:{_RESET}", *shown]


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", f"{_BOLD}{title[0].upper()}{title[1:]}:{_RESET}", *lines] if lines else []


def _stack(stack: str) -> list[str]:
    """Shorten what faulthandler wrote: no list of modules, and no frames that called the cell."""
    text = _CELL_FILE.sub(r"Cell In[\1]", stack.partition("\nExtension modules:")[0].strip())
    lines: list[str] = []
    threads = [thread for thread in text.split("\n\n") if not thread.startswith(_FATAL)]
    for thread in threads if text else []:
        frames = thread.split("\n")
        if len(threads) == 1 and len(frames) > 1 and _THREAD.match(frames[0]):
            del frames[0]  # there is no other that it could be taken for
        cells = [at for at, frame in enumerate(frames) if "Cell In[" in frame]
        shown = frames[: cells[-1] + 1] if cells else frames
        lines += ["", *(frame for frame in shown if _OURS not in frame)]
    if len(lines) > _STACK_LIMIT:
        left = len(lines) - _STACK_LIMIT
        lines = [*lines[:_STACK_LIMIT], f"  ... {left} more lines"]
    return lines[1:]


def _tail(native: str) -> list[str]:
    return native.rstrip("\n").split("\n")[-_NATIVE_LIMIT:] if native.strip() else []


def _summary(facts: Facts) -> list[str]:
    peak = f", after using up to {sizes.show(facts.peak)} of memory" if facts.peak else ""
    limit = f" (its limit is {sizes.show(facts.limit)})" if peak and facts.limit else ""
    text = f"The interpreter (pid {facts.pid}) ended with {_exit(facts.exitcode)}{peak}{limit}."
    return [f"{_DIM}{line}{_RESET}" for line in wrap(text, _WIDTH)]


def _suspicion(facts: Facts) -> list[str]:
    """Say what looks like a refused allocation: native code seldom survives one, or says so."""
    near = facts.limit and facts.peak > _NEAR * facts.limit
    if near and facts.ended is None and facts.exitcode in (-signal.SIGABRT, -signal.SIGSEGV):
        return [
            "That is close to its memory limit (--memory-limit). Native code that is refused "
            "memory often ends like this."
        ]
    return []


def _consequences(facts: Facts) -> list[str]:
    if facts.before_hello:
        return [
            "It had not started yet. What it wrote stands above; a start-up file, a configuration "
            "file or an option of IPython is the usual cause.",
        ]
    if not facts.successor:
        return ["Its variables are gone. The kernel ends with it, as it was told to (--on-crash)."]
    lines = recovery_words.variables(facts.outcome, facts.newest)
    if facts.queued:
        cells = "cell that was" if facts.queued == 1 else "cells that were"
        lines.append(f"{facts.queued} {cells} waiting will not be run.")
    return [*lines, recovery_words.next_step(facts.outcome, ran=bool(facts.code))]


def _cell_line(facts: Facts) -> int:
    """Find the cell's line in the thread that crashed, which faulthandler writes first or marks."""
    if not facts.code:
        return 0
    stack = _named(facts)
    # Other threads may run other cells, or this one without being to blame.
    _, marked, rest = stack.rpartition("Current thread")
    frame = re.compile(_CELL_FRAME.format(count=facts.execution_count))
    found = frame.search(rest.partition("\n\n")[0] if marked else stack)
    return int(found[1]) if found else 0


def _named(facts: Facts) -> str:
    """Give the stack with the running cell's number in its file name, also if somebody debugs."""
    if not facts.cells or not facts.code:
        return facts.stack
    name = cells.file_name(facts.cells, facts.code)
    return facts.stack.replace(f'"{name}"', f'"<ipython-input-{facts.execution_count}-0>"')


def _exit(exitcode: int) -> str:
    """Say an exit status in words."""
    if exitcode >= 0:
        return f"exit code {exitcode}"
    known = _signal(exitcode)
    return f"signal {-exitcode} ({known.name if known else 'a real-time signal'})"


def _signal(exitcode: int) -> signal.Signals | None:
    return signal.Signals(-exitcode) if -exitcode in set(signal.Signals) else None


STOPPED = report(Facts(stopping=True))
RESTARTED = report(Facts(restarting=True))
"""What is told of requests that the end of the kernel overtook."""
