"""JupyterLab's debugger panel: the bug button, a breakpoint in the gutter, steps, the variables."""

from __future__ import annotations

import pytest
from chromium import expect

pytestmark = pytest.mark.parametrize("app", ["lab"])  # Notebook has the same panel

ATTEMPTS = 10

CODE = "def f(a, b):\n    c = a + b\n    return c\n\nf(2, 3)"


def shows_variable(window, frames, name):
    """Look at the innermost frame until the panel shows a variable of its own.

    What JupyterLab had asked before the stop, about globals, may be answered after it and then
    stands there; whoever goes to another frame and back sees the frame's.
    """
    variable = window.page.locator(".jp-DebuggerVariables").get_by_text(name, exact=True)
    for _ in range(ATTEMPTS):
        try:
            expect(variable.first).to_be_visible(timeout=3000)
        except AssertionError:
            frames.nth(1).click()
            frames.first.click()
            continue
        return
    expect(variable.first).to_be_visible()


def steps_to(window, line):
    """Go to the next line, until the panel shows that one: see ``goes_on``."""
    shown = window.page.locator(".jp-DebuggerCallstackFrame-location").first
    for _ in range(ATTEMPTS):
        window.page.keyboard.press("F10")
        try:
            expect(shown).to_contain_text(line, timeout=5000)
        except AssertionError:
            continue
        return
    expect(shown).to_contain_text(line)


def goes_on(window):
    """Continue, until the cell has ended: JupyterLab ignores the key until it knows of the stop.

    Nothing in the panel tells when a step to a line that was shown before has ended.
    """
    for _ in range(ATTEMPTS):
        window.page.keyboard.press("F9")
        try:
            expect(window.prompt(0)).not_to_have_text("[*]:", timeout=2000)
        except AssertionError:
            continue
        break
    window.ended(0)


def test_the_panel_stops_a_cell_and_lets_it_go_on(open_notebook, tmp_path):
    """The whole way of a user: switch on, break, look, step, continue; and after a crash again."""
    window = open_notebook(CODE, "import os; os._exit(3)")
    page = window.page
    window.kernel_is("idle")
    bug = page.locator(".jp-DebuggerBugButton")
    bug.click()
    breakpoints = window.cell(0).locator(".cm-breakpoint-gutter .cm-gutterElement")
    breakpoints.nth(3).wait_for()
    breakpoints.nth(2).click()
    expect(page.locator(".jp-DebuggerBreakpoint")).to_have_count(1)
    window.run(0)
    frames = page.locator(".jp-DebuggerCallstackFrame")
    expect(frames).to_have_count(2)
    expect(frames.first).to_contain_text("f")
    shows_variable(window, frames, "a")
    page.screenshot(path=tmp_path / "stopped.png")
    print(f"a picture: {tmp_path / 'stopped.png'}")
    steps_to(window, "3")
    goes_on(window)
    window.shows(0, "5")
    window.run(1)
    window.shows(1, "KernelExited")
    page.screenshot(path=tmp_path / "crashed.png")
    # Off and on again: the breakpoint is still there, and stops on the new interpreter.
    bug.click()
    expect(page.locator(".jp-DebuggerBreakpoint")).to_have_count(0)
    bug.click()
    expect(page.locator(".jp-DebuggerBreakpoint")).to_have_count(1)
    window.run(0)
    expect(frames).to_have_count(2)
    page.screenshot(path=tmp_path / "again.png")
    goes_on(window)
