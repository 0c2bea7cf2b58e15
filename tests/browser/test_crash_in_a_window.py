"""A crash, as a person sees it: words in the cell, no dialog, and the next cell runs."""

from __future__ import annotations

import pytest
from chromium import expect

SEGFAULT = "import ctypes\nprint('half way', end='')\nctypes.string_at(0)"


ONCE = pytest.mark.parametrize("app", ["lab"])
"""What both do with the same code of JupyterLab's, once is enough."""


def nothing_is_dead(window):
    """The kernel is idle, nobody asks what to do about it, and the connection is the first one."""
    window.kernel_is("idle")
    window.no_dialog()
    assert len(window.connections()) == 1


def test_crash_is_told_in_its_cell(open_notebook):
    """What was printed, why it ended, where; the next cell finds its variables (G18, G19, G41)."""
    window = open_notebook("%recovery on\nkept = 1", SEGFAULT, "'kept' in globals()")
    window.run(0, 1)
    window.shows(1, "KernelSegfault: The interpreter touched memory that is not its own")
    text = window.output(1).inner_text()
    assert text.startswith("half way")
    assert "---->   3 ctypes.string_at(0)" in text
    assert "ended with signal 11 (SIGSEGV)" in text
    assert "Its variables are back" in text
    expect(window.prompt(1)).to_have_text("[2]:")
    window.run(2)
    window.shows(2, "True")
    expect(window.prompt(2)).to_have_text("[3]:")
    nothing_is_dead(window)


@ONCE
def test_crash_without_recovery(open_notebook):
    """The next cell runs on a fresh worker (G19, G42)."""
    window = open_notebook("%recovery off\nkept = 1", SEGFAULT, "'kept' in globals()")
    window.run(0, 1)
    window.shows(1, "Its variables are gone.")
    window.run(2)
    window.shows(2, "False")
    expect(window.prompt(2)).to_have_text("[1]:")
    nothing_is_dead(window)


@ONCE
def test_crash_ends_run_all(open_notebook):
    """The cells below the one that crashed are not run, and can be run at once (G21)."""
    window = open_notebook("print('above')", SEGFAULT, "print('below')", "print('last')")
    window.menu("Run", "runmenu:run-all")
    window.shows(1, "KernelSegfault")
    window.ended(1)
    window.shows(0, "above")
    for number in (2, 3):
        expect(window.prompt(number)).to_have_text("[ ]:")
        expect(window.cell(number).locator(".jp-OutputArea-output")).to_have_count(0)
    window.run(3)
    window.shows(3, "last")
    nothing_is_dead(window)


@ONCE
def test_crash_ends_run_all_of_a_long_notebook(open_notebook):
    """JupyterLab is still sending cells when the crash is told, and listens to nobody (G21)."""
    window = open_notebook(
        "%recovery off\n'ran' in globals()", "import os; os._exit(3)", *["ran = True"] * 24
    )
    window.menu("Run", "runmenu:run-all")
    window.shows(1, "KernelExited")
    window.ended(1)
    window.run(0)  # after all that Run All has sent
    expect(window.prompt(0)).to_have_text("[1]:")
    window.shows(0, "False")
    for number in (2, 25):
        expect(window.prompt(number)).to_have_text("[ ]:")
    nothing_is_dead(window)


WIDGET = (
    "import ipywidgets\n"
    "slider, label = ipywidgets.IntSlider(value=20), ipywidgets.Label('unmoved')\n"
    "slider.observe(lambda change: setattr(label, 'value', 'moved'), 'value')\n"
    "display(slider, label)"
)


@ONCE
def test_widgets_live_on_after_a_crash(open_notebook):
    """Whoever moves the slider is answered by the interpreter that came back (G41)."""
    window = open_notebook(f"%recovery on\n{WIDGET}", SEGFAULT)
    window.run(0)
    window.shows(0, "unmoved")
    window.run(1)
    window.shows(1, "Its variables are back")
    window.ended(1)
    window.drag(window.output(0).locator(".noUi-handle"), 60)
    expect(window.output(0).locator(".widget-label").last).to_have_text("moved")
    nothing_is_dead(window)


@ONCE
def test_widgets_after_a_crash_without_recovery(open_notebook):
    """The widgets of the dead worker are gone, and new ones work (G17)."""
    window = open_notebook(f"%recovery off\n{WIDGET}", SEGFAULT)
    window.run(0)
    window.shows(0, "unmoved")
    window.run(1)
    window.shows(1, "KernelSegfault")
    window.ended(1)
    expect(window.output(0).locator(".noUi-handle")).to_have_count(0)
    window.run(0)
    window.shows(0, "unmoved")
    window.drag(window.output(0).locator(".noUi-handle"), 60)
    expect(window.output(0).locator(".widget-label").last).to_have_text("moved")
    nothing_is_dead(window)


@ONCE
def test_crash_of_a_callback(open_notebook):
    """A worker that a widget's callback ends is replaced; no cell is blamed (G17, G22)."""
    window = open_notebook(
        "%recovery off\nimport ctypes, ipywidgets\n"
        "button = ipywidgets.Button(description='Crash')\n"
        "button.on_click(lambda _: ctypes.string_at(0))\n"
        "button",
        "'kept' in globals()",
    )
    window.run(0)
    window.output(0).get_by_role("button", name="Crash").click()
    window.run(1)
    window.shows(1, "False")
    expect(window.prompt(1)).to_have_text("[1]:")
    nothing_is_dead(window)
