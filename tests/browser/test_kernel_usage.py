"""JupyterLab's panel 'Kernel Usage', which jupyter-resource-usage adds to the right sidebar."""

from __future__ import annotations

import re

import pytest
from chromium import expect

POLL = re.compile("/kernel_usage/get_usage/")
pytestmark = pytest.mark.parametrize("app", ["lab"])  # Notebook has no such panel


def test_panel_shows_usage_while_a_cell_runs(open_notebook):
    """The panel has the numbers of a busy kernel, which the status bar still calls busy (G36)."""
    window = open_notebook("print('begun')\nwhile True: pass")
    window.run(0)
    window.shows(0, "begun")
    with window.page.expect_response(POLL) as response:
        window.page.get_by_role("tab", name="Kernel Usage").click()
    usage = response.value.json()["content"]
    assert usage["kernel_memory"] > 10_000_000
    panel = window.page.locator(".jp-KernelUsage-view")
    expect(panel).to_contain_text("Kernel Host: " + usage["hostname"])
    expect(panel).to_contain_text("Process ID: " + str(usage["pid"]))
    expect(panel).to_contain_text(re.compile(r"CPU: [0-9.]*[1-9]"))
    expect(panel).to_contain_text(re.compile(r"Memory: [0-9.]+ [MG]B"))
    expect(panel).not_to_contain_text("not available")
    with window.page.expect_response(POLL):
        pass  # whatever the first one has caused is there now, such as a status
    assert "| Busy" in window.page.locator("#jp-main-statusbar").inner_text()
