"""What a person sees and does in a window: the same words for JupyterLab and for Notebook."""

from __future__ import annotations

import re

from chromium import DEADLINE, expect

ADDRESSES = {
    "lab": "/lab/workspaces/{window}/tree/{name}",
    "notebook": "/notebooks/{name}",
}

NOTE_CONNECTIONS = """
window.connections = [];
window.WebSocket = class extends WebSocket {
  constructor(...options) {
    super(...options);
    if (!String(options[0]).includes("/channels")) return;
    const connection = { begun: performance.now(), answered: null };
    window.connections.push(connection);
    this.addEventListener("message", (event) => {
      if (connection.answered !== null || !(event.data instanceof ArrayBuffer)) return;
      if (new TextDecoder().decode(event.data).includes('kernel_info_reply'))
        connection.answered = performance.now();
    });
  }
};
"""
"""Notes of each connection to a kernel when it was begun, and when the kernel answered on it."""


class Window:
    """One page on one notebook."""

    def __init__(self, page):
        self.page = page
        self.console = []
        page.set_default_timeout(DEADLINE)
        page.on("console", lambda said: self.console.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))
        page.on("crash", lambda _: self.console.append("the page itself crashed"))

    def open(self, server, app, name):
        """Open a notebook; its kernel has answered when this returns."""
        path = ADDRESSES[app].format(window=f"window-{id(self)}", name=name)
        self.page.goto(f"{server.url}{path}?token={server.token}")
        self.connected(1)

    def connected(self, times):
        """Wait until the page has connected so many times, and the kernel has answered."""
        self.page.wait_for_function(
            "times => connections.length >= times && connections.at(-1).answered !== null",
            arg=times,
        )

    def connections(self):
        """Give for each connection how many milliseconds the kernel's answer took, or None."""
        return self.page.evaluate("connections.map(c => c.answered && c.answered - c.begun)")

    def cell(self, number):
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)

    def output(self, number):
        """All that is shown below a cell."""
        return self.cell(number).locator(".jp-Cell-outputArea")

    def prompt(self, number):
        return self.cell(number).locator(".jp-InputArea-prompt")

    def run(self, *numbers):
        """Run cells without waiting for them."""
        for number in numbers:
            self.cell(number).locator(".jp-InputArea-editor").click()
            self.page.keyboard.press("Control+Enter")

    def shows(self, number, text):
        """Wait until the output of a cell contains a text."""
        expect(self.output(number)).to_contain_text(text)

    def ended(self, number):
        """Wait until a cell has its reply: what is sent before the reply of a failing cell has
        come is aborted with all that waits behind it (G11).
        """
        expect(self.prompt(number)).to_have_text(re.compile(r"\[\d+\]:"))

    def kernel_is(self, state):
        """Wait until the light in the toolbar shows a state of the kernel: idle, busy, ...

        JupyterLab at times builds a second light, and the first one no longer changes.
        """
        light = self.page.locator(f".jp-Notebook-ExecutionIndicator[data-status='{state}']")
        expect(light.last).to_be_visible()

    def tool(self, title):
        """Press a button of the toolbar."""
        self.page.get_by_role("button", name=title, exact=True).click()

    def menu(self, name, command):
        """Choose the item of a menu that gives a command."""
        self.page.get_by_role("menuitem", name=name, exact=True).click()
        self.page.locator(f".lm-Menu-item[data-command='{command}']").click()

    def drag(self, handle, pixels):
        """Move something to the right, with the mouse: not all keys reach widgets in Notebook."""
        handle.hover()
        box = handle.bounding_box()
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + box["width"] / 2 + pixels, box["y"] + box["height"] / 2)
        self.page.mouse.up()

    def no_dialog(self):
        """Nothing covers the notebook."""
        expect(self.page.locator(".jp-Dialog")).to_have_count(0)
