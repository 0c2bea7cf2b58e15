"""A death in words: what happened, why, what it means for the user, what to do next.

Pure: facts in, a report out. The names are stable; people match on them.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

_SIGNALS = {
    signal.SIGSEGV: (
        "KernelSegfault",
        (
            "The interpreter touched memory that is not its own (segmentation fault). "
            "A library with native code did this, or was misused; pure Python code cannot."
        ),
    ),
    signal.SIGBUS: (
        "KernelBusError",
        (
            "The interpreter touched memory that is not there (bus error). "
            "A file that was mapped into memory and then shortened is the usual cause."
        ),
    ),
    signal.SIGFPE: (
        "KernelArithmeticError",
        "Native code divided an integer by zero or the like (SIGFPE).",
    ),
    signal.SIGILL: (
        "KernelIllegalInstruction",
        (
            "Native code ran an instruction that this processor does not know (SIGILL). "
            "A library that was built for another processor is the usual cause."
        ),
    ),
    signal.SIGABRT: (
        "KernelAborted",
        "Native code gave up by itself (abort). Its own message, if it wrote one, stands above.",
    ),
    signal.SIGKILL: (
        "KernelKilled",
        (
            "An unknown sender killed the interpreter (SIGKILL). "
            "There is no evidence that memory ran out."
        ),
    ),
    signal.SIGTERM: (
        "KernelKilled",
        "An unknown sender asked the interpreter to end (SIGTERM).",
    ),
}


@dataclass(frozen=True)
class Facts:
    """What is known of a worker's end."""

    exitcode: int  # as Python's subprocess has it: negative for a signal
    pid: int
    stack: str = ""  # what faulthandler wrote
    why: str = ""  # why we ended it ourselves; "" if we did not
    stopping: bool = False
    leaving: bool = False  # the worker was asked to leave by its user, with exit()
    before_hello: bool = False


@dataclass(frozen=True)
class Report:
    """What a client is told."""

    ename: str
    evalue: str
    text: str
    expected: bool = False
    """It was meant to end: nobody needs to be alarmed."""

    @property
    def traceback(self) -> tuple[str, ...]:
        """The lines of an error message's traceback."""
        return tuple(self.text.split("\n"))


def report(facts: Facts) -> Report:
    """Tell a worker's end."""
    if facts.stopping:
        evalue = "The kernel was shut down while this ran."
        return Report("KernelStopped", evalue, f"KernelStopped: {evalue}", expected=True)
    ename, cause = _cause(facts)
    red, reset = "\x1b[31m", "\x1b[0m"
    lines = [f"{red}{ename}{reset}: {cause}"]
    if facts.stack.strip():
        lines += ["", *facts.stack.strip().split("\n")]
    lines += ["", f"The interpreter (pid {facts.pid}) ended with {describe_exit(facts.exitcode)}."]
    lines += [
        "Its variables are gone. A new interpreter takes over; what was printed is all here.",
        "Next: run the cells above this one again, and change this one if it is to blame.",
    ]
    return Report(ename, cause, "\n".join(lines))


def _cause(facts: Facts) -> tuple[str, str]:
    if facts.why:
        return "KernelKilled", facts.why
    if facts.exitcode >= 0:
        return (
            "KernelExited",
            (
                f"The interpreter ended by itself with exit code {facts.exitcode}, without an "
                "error of Python's (os._exit, or a library that calls exit)."
            ),
        )
    known = _SIGNALS.get(signal.Signals(-facts.exitcode)) if _is_signal(facts.exitcode) else None
    return known or (
        "KernelKilled",
        f"The interpreter was ended by {describe_exit(facts.exitcode)}.",
    )


def describe_exit(exitcode: int) -> str:
    """Say an exit status in words."""
    if exitcode >= 0:
        return f"exit code {exitcode}"
    name = signal.Signals(-exitcode).name if _is_signal(exitcode) else "a real-time signal"
    return f"signal {-exitcode} ({name})"


def _is_signal(exitcode: int) -> bool:
    return -exitcode in set(signal.Signals)


STOPPED = report(Facts(0, 0, stopping=True))
"""What is told of requests that the end of the kernel overtook."""
