"""Widgets move while a cell runs: JupyterLab sends their messages to a subshell (JEP 91)."""

from __future__ import annotations

import os
import re

import pytest
from chromium import expect

SLIDER = (
    "import ipywidgets\n"
    "slider, label = ipywidgets.IntSlider(value=20), ipywidgets.Label('unmoved')\n"
    "def answer(change): label.value = f'{change.new} times two is {2 * change.new}'\n"
    "slider.observe(answer, 'value')\n"
    "display(slider, label)"
)
AWAIT = (
    "import asyncio\nmoved = asyncio.get_running_loop().create_future()\n"
    "slider.observe(lambda _: moved.done() or moved.set_result(None), 'value')\nawait moved"
)
INTERACT = "from ipywidgets import interact\n@interact(x=(0, 100))\ndef twice(x=1): print(x, 2 * x)"


@pytest.fixture
def gate(server):
    path = server.root / "gate"
    os.mkfifo(path)
    yield path
    path.unlink()


def moved(window, number):
    """Move the slider of a cell."""
    window.drag(window.output(number).locator(".noUi-handle"), 60)


@pytest.mark.parametrize(
    ("waits", "ends"),
    [
        ("open('gate').read()", None),
        ("import time\nwhile slider.value == 20: time.sleep(0.01)", "slider"),
        ("while slider.value == 20: pass", "slider"),
        (AWAIT, "slider"),
    ],
    ids=["a cell that sleeps", "a cell that looks", "a cell that computes", "a cell that awaits"],
)
def test_slider(open_notebook, gate, waits, ends):
    """G3: the callback's answer is seen while the cell of the main shell still runs."""
    window = open_notebook(SLIDER, f"print('begun')\n{waits}\nprint('ended at', slider.value)")
    window.run(0)
    window.shows(0, "unmoved")
    window.run(1)
    window.shows(1, "begun")
    moved(window, 0)
    shown = window.output(0).locator(".widget-label").last
    expect(shown).to_have_text(re.compile("times two is"))
    value, double = map(int, re.findall(r"\d+", shown.inner_text()))
    assert 20 < value == double / 2
    if ends is None:
        expect(window.prompt(1)).to_have_text("[*]:")
        gate.write_bytes(b"")
        window.shows(1, f"ended at {value}")
    window.ended(1)
    window.kernel_is("idle")


def test_interact(open_notebook, gate):
    """G4: what interact's function prints stands below its slider, not in the cell that runs."""
    window = open_notebook(INTERACT, "print('begun')\nopen('gate').read()\nprint('ended')")
    window.run(0)
    window.shows(0, "1 2")
    window.run(1)
    window.shows(1, "begun")
    moved(window, 0)
    printed = window.output(0).locator(".jp-OutputArea-output pre").last
    expect(printed).not_to_have_text(re.compile("^1 2"))
    value, double = map(int, printed.inner_text().split())
    assert 1 < value == double / 2
    expect(window.prompt(1)).to_have_text("[*]:")
    gate.write_bytes(b"")
    window.shows(1, "ended")
    assert window.output(1).inner_text().split() == ["begun", "ended"]


def test_after_a_crash(open_notebook, gate):
    """The page keeps its subshell when the interpreter dies; new widgets move as before (G21)."""
    window = open_notebook(SLIDER, "import os; os._exit(3)", "print('begun')\nopen('gate').read();")
    window.run(0)
    window.shows(0, "unmoved")
    moved(window, 0)
    window.shows(0, "times two is")
    window.run(1)
    window.shows(1, "KernelExited")
    window.ended(1)
    window.run(0)
    window.shows(0, "unmoved")
    window.run(2)
    window.shows(2, "begun")
    moved(window, 0)
    window.shows(0, "times two is")
    expect(window.prompt(2)).to_have_text("[*]:")
    gate.write_bytes(b"")
    window.ended(2)
