"""What is done to a kernel in each round. A kind of round is a function; they take turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.failures import FailedError

from .session import thaw

if TYPE_CHECKING:
    from collections.abc import Callable

    from .session import Session

VARIABLES = (
    "import json as _json\n"
    "print(_json.dumps([n for n in list(globals()) if not n.startswith('_')]))"
)
"""What the variable view asks, after each cell and behind the user's back."""

_ENDLESS = (
    "print('on', flush=True)\nwhile True: pass",
    "import time\nprint('on', flush=True)\ntime.sleep(1000)",
    "import subprocess\nprint('on', flush=True)\nsubprocess.run(['sleep', '1000'])",
)
_AWAIT = "import asyncio\nprint('on', flush=True)\nawait asyncio.sleep(1000)"
_PRINTS = "print('on', flush=True)\nfor i in range(2_000): print(i)"


class WrongError(FailedError):
    """A cell ended, but not as it should have."""


def run(session: Session, code: str, want: str = "ok") -> str:
    """Run a cell, and then the query of the variable view; give the cell's text."""
    text = _end(session, session.send(code), want)
    _end(session, session.send(VARIABLES, hidden=True))
    return text


def _end(session: Session, msg_id: str, *want: str) -> str:
    status, text = session.finish(msg_id)
    if status not in (want or ("ok",)):
        raise WrongError(f"{status} instead of {' or '.join(want or ('ok',))}")
    return text


def _cells(session: Session, number: int) -> None:
    for step in range(3):
        text = run(session, f"x{step} = {number}\nprint('step', {step}, x{step})")
        if text != f"step {step} {number}\n":
            raise WrongError(f"lost output: {text!r}")
    run(session, "1 / 0", "ZeroDivisionError")


def _interrupt(session: Session, number: int) -> None:
    _interrupt_code(session, _ENDLESS[number % len(_ENDLESS)])


def _interrupt_await(session: Session, _: int) -> None:
    _interrupt_code(session, _AWAIT)


def _interrupt_code(session: Session, code: str) -> None:
    msg_id = session.send(code)
    session.finish(msg_id, until="on")
    session.interrupt()
    _end(session, msg_id, "KeyboardInterrupt")
    run(session, "print('after')")


def _interrupt_at_once(session: Session, number: int) -> None:
    """Stop is pressed as Run is, so it may come too early; the cell has to end all the same."""
    msg_id = session.send(f"import time\ntime.sleep(0.05)\nprint({number})")
    session.interrupt()
    _end(session, msg_id, "ok", "KeyboardInterrupt")
    # The interrupt may come late, and fall on the next cell or query; nothing may get stuck.
    _end(session, session.send(VARIABLES, hidden=True), "ok", "KeyboardInterrupt")
    run(session, "print('after')")


def _interrupt_idle(session: Session, _: int) -> None:
    session.interrupt()
    msg_id = session.send("print('not mine')")
    _end(session, msg_id, "ok", "KeyboardInterrupt")
    run(session, "print('after')")


def _freeze_idle(session: Session, number: int) -> None:
    family = session.freeze()
    msg_id = session.send(f"print({number})")
    thaw(family)
    _end(session, msg_id)
    run(session, "print('after')")


def _freeze_running(session: Session, _: int) -> None:
    msg_id = session.send(_PRINTS)
    session.finish(msg_id, until="on")
    thaw(session.freeze())
    _end(session, msg_id)
    run(session, "print('after')")


def _interrupt_frozen(session: Session, number: int) -> None:
    msg_id = session.send(_ENDLESS[number // 50 % 2])
    session.finish(msg_id, until="on")
    family = session.freeze()
    session.interrupt()
    thaw(family)
    _end(session, msg_id, "KeyboardInterrupt")
    run(session, "print('after')")


def _restart(session: Session, number: int) -> None:
    msg_id = session.send("import time\nprint('on', flush=True)\ntime.sleep(1000)")
    session.finish(msg_id, until="on")
    session.restart()
    run(session, f"print({number})")


Round = tuple[str, "Callable[[Session, int], None]"]

_OFTEN: tuple[Round, ...] = (
    ("cells", _cells),
    ("interrupt", _interrupt),
    ("freeze, idle", _freeze_idle),
    ("interrupt at once", _interrupt_at_once),
    ("cells", _cells),
    ("freeze, running", _freeze_running),
    ("interrupt, idle", _interrupt_idle),
    ("interrupt", _interrupt),
    ("cells", _cells),
    ("restart", _restart),
)
_SELDOM: dict[int, Round] = {
    17: ("interrupt, frozen", _interrupt_frozen),
    47: ("interrupt, await", _interrupt_await),
}
"""What some kernels do not get over: more of it would only take long."""
ROUNDS: tuple[Round, ...] = tuple(
    _SELDOM.get(number, _OFTEN[number % len(_OFTEN)]) for number in range(50)
)
