"""A death amid everything that a program may hold: what comes back is right, or is told to be lost.

The cases are data: ``recovery_cases.py`` and those beside it. Those of libraries are skipped where
these are not installed.
"""

from __future__ import annotations

import importlib.util
import re

import pytest
from frontend import kernel
from recovery_asyncio import ASYNCIO
from recovery_cases import CASES
from recovery_files import FILES
from recovery_libraries import LIBRARIES
from recovery_resources import RESOURCES

PLAIN = [*CASES, *ASYNCIO, *FILES, *RESOURCES]
ALL = [*PLAIN, *LIBRARIES]
COLOURS = re.compile(r"\x1b\[[\d;]*m")
BACK = "Its variables are back"
BEHIND = "Its variables are as they were after In [1]."
MOVED = "moved to a fresh interpreter, as they were after In ["
GONE = "Its variables are gone"
NOT_BACK = "What did not come back: "


@pytest.mark.parametrize("case", PLAIN, ids=str)
def test_what_comes_back_is_right_or_told(case, tmp_path):
    """Nothing is silently wrong after a death, and nothing hangs."""
    play(case, tmp_path)


@pytest.mark.libraries
@pytest.mark.parametrize("case", LIBRARIES, ids=str)
def test_libraries_work_again_or_it_is_told_which_does_not(case, tmp_path):
    """A library is used before the death, and again after it; or its name stands in the report."""
    play(case, tmp_path)


def play(case, folder):
    """Play a case on a kernel of its own, which ends well."""
    missing = [name for name in case.needs if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed (pip install --group recovery)")
    with kernel(folder / "kernel", options=["--recover=on"]) as frontend:
        look(frontend, case)
        if case.complains:
            frontend.give_up()


def look(frontend, case):
    """Set it up, die, look at it."""
    for cell in ["marker = object()", *case.setup.split("%%\n")]:
        run(frontend, cell)
    report = die(frontend, case.fatal)
    print(report)
    if case.refused:
        assert GONE in report, report
        assert case.refused in report, report
    elif case.moved:
        assert MOVED in report, report
        assert case.moved in report.partition("could not be restored: ")[2], report
        left = report.partition("Not moved: ")[2]
        for words in case.losses:
            assert words in left, left
    else:
        assert (BEHIND if case.behind else BACK) in report, report
        assert case.behind in report, report
        losses = report.partition(NOT_BACK)[2].partition(" Next: ")[0]
        assert bool(losses) == bool(case.losses), losses
        for words in case.losses:
            assert words in losses, losses
    found = result(run(frontend, case.probe))
    assert found == case.result, found
    assert result(run(frontend, "'marker' in globals()")) == str(not case.refused)


def run(frontend, code):
    """Run a cell, whatever it prints and however long it imports; give its messages."""
    parent = frontend.execute(code)
    messages = receive(frontend, parent)
    errors = [message.content for message in messages if message.type == "error"]
    assert not errors, COLOURS.sub("", "\n".join(errors[0]["traceback"]))
    frontend.recv_reply(parent)
    return messages


def receive(frontend, parent):
    """Receive all that comes up to a cell's end, also what others still have to say."""
    messages = []
    while True:
        message = frontend.recv("iopub", deadline=100)
        if message.parent_id == parent and message.entry == ("status", "idle"):
            return messages
        messages.append(message)


def result(messages):
    """Give the text of a cell's result."""
    texts = [m.content["data"]["text/plain"] for m in messages if m.type == "execute_result"]
    return " ".join(texts[0].split()) if texts else None


def die(frontend, code):
    """Run a cell that ends the interpreter; give the report, without colours and breaks."""
    parent = frontend.execute(code)
    messages = receive(frontend, parent)
    errors = [message.content for message in messages if message.type == "error"]
    frontend.recv_reply(parent, "error")
    (error,) = errors
    return " ".join(COLOURS.sub("", "\n".join(error["traceback"])).split())
