"""A server for all tests, a browser for each file, windows for each test."""

from __future__ import annotations

import chromium
import pytest
from serving import Server
from windows import NOTE_CONNECTIONS, Window


@pytest.fixture(scope="session")
def installed():
    """Skip the tests where something is missing; in CI that is a failure."""
    reason = chromium.missing()
    if reason and chromium.must_run():
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def server(installed, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("jupyter-server"))
    yield server
    server.end()


@pytest.fixture(scope="module")
def browser(installed):
    """Chromium, for one file: while Playwright runs, no other test can have an event loop."""
    with chromium.running() as browser:
        yield browser


@pytest.fixture(scope="module")
def context(browser):
    """What windows share: the cache, which makes the second one quick."""
    context = browser.new_context(viewport={"width": 1200, "height": 1400})
    context.add_init_script(NOTE_CONNECTIONS)
    yield context
    context.close()


@pytest.fixture
def new_window(context, server, tmp_path, request):
    """Make windows; a test that fails keeps a picture of each, and what its console said."""
    windows = []

    def make(page=None):
        windows.append(Window(page or context.new_page()))
        return windows[-1]

    yield make
    try:
        if getattr(request.node, "failed_call", True):
            keep(windows, tmp_path)
            print(f"the server's log: {server.log}")
    finally:
        for window in windows:
            window.page.close()
        server.end_kernels()


def keep(windows, folder):
    """Keep what a person would look at."""
    for number, window in enumerate(windows):
        log = folder / f"console-{number}.log"
        log.write_text("\n".join(window.console), encoding="utf-8")
        print(f"the console of window {number}: {log}")
        if not window.page.is_closed():
            picture = folder / f"window-{number}.png"
            window.page.screenshot(path=picture)
            print(f"a picture of window {number}: {picture}")


@pytest.fixture(params=["lab", "notebook"])
def app(request):
    return request.param


@pytest.fixture
def open_notebook(new_window, server, app, request):
    """Open a notebook of cells; without cells, one more window on the same notebook."""
    name = f"{request.node.originalname}-{app}.ipynb"

    def make(*codes):
        if codes:
            server.write(name, *codes)
        window = new_window()
        window.open(server, app, name)
        return window

    return make
