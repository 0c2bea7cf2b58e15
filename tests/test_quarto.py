"""How quarto runs a document: an imitation of what its Python side asks of a kernel.

Quarto itself was not run: its program is in no package registry. What it asks was read in its
source (2026), and is asked here by nbclient, as there. Its kernel outlives a render, and each
render sends, to a kernel that may have run others before:

- a comm for a target that nobody has registered, without waiting for what becomes of it;
- a set-up cell outside of the history, which prints as JSON when each imported file was written,
  and empties the namespace with ``%reset``, which would ask if somebody could answer;
- the cells one by one, with counts of its own;
- an empty request with user expressions, for code within text;
- a clean-up cell, like the first.

Where a file was written since, this kernel ends, and the next one starts.
"""

from __future__ import annotations

import json

import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat.v4 import new_code_cell, new_notebook
from papermill.translators import translate_parameters
from test_notebooks import shown

SPEC = {"name": "bulkhead", "display_name": "Bulkhead", "language": "python"}
FILES = """
import json, os, sys
print(json.dumps({
    m.__file__: os.stat(m.__file__).st_mtime
    for m in list(sys.modules.values())
    if isinstance(getattr(m, "__file__", None), str) and os.path.exists(m.__file__)
}))
"""
SEGFAULT = "print('last words', end='')\nimport ctypes; ctypes.string_at(0)"


class RestartError(Exception):
    """This kernel will not do for this render."""


class Daemon:
    """What keeps a kernel between renders of one document."""

    def __init__(self):
        self.client = None
        self.files = {}

    def render(self, *codes, text=None, **options):
        """Run a document; give what its cells show, and what the expressions in its text are."""
        book = new_notebook(cells=list(map(new_code_cell, codes)), metadata={"kernelspec": SPEC})
        if self.client is None:
            self.client = NotebookClient(book)
            self.client.record_timing = False
            self.client.create_kernel_manager()
            self.client.start_new_kernel()
            self.client.start_new_kernel_client()
            info = self.client.wait_for_reply(self.client.kc.kernel_info())
            assert info["content"]["language_info"]["name"] == "python"
        client, kc = self.client, self.client.kc
        client.nb = book
        client.timeout, client.interrupt_on_timeout = options.get("timeout"), True
        content = {"comm_id": "setup", "target_name": "nobody_knows_it", "data": {"x": 1}}
        kc.shell_channel.send(kc.session.msg("comm_open", content))

        for path, written in self._outside(FILES + "%reset\nready = True").items():
            if self.files.setdefault(path, written) != written:
                raise RestartError
        for index, cell in enumerate(book.cells):
            client.execute_cell(cell, index, execution_count=index + 1)
        results = None
        if text is not None:
            reply = client.wait_for_reply(kc.execute("", user_expressions=text))["content"]
            results = {name: told.get("data") for name, told in reply["user_expressions"].items()}
        client.set_widgets_metadata()
        self.files = self._outside("%reset\n" + FILES)
        assert [cell.execution_count for cell in book.cells] == [*range(1, len(codes) + 1)]
        shown_by = [list(map(shown, cell.outputs)) for cell in book.cells]
        return (shown_by, results) if text is not None else shown_by

    def _outside(self, code):
        """Run a cell that is not the document's. All that it shows is one stream of JSON."""
        cell = new_code_cell(code)
        self.client.nb.cells.append(cell)
        self.client.execute_cell(cell, len(self.client.nb.cells) - 1, store_history=False)
        self.client.nb.cells.pop()
        (output,) = cell.outputs
        assert output["name"] == "stdout"
        return json.loads(output["text"])

    def end(self):
        if self.client is not None:
            manager = self.client.km
            self.client._cleanup_kernel()
            assert not manager.has_kernel
            self.client, self.files = None, {}


@pytest.fixture(scope="module")
def daemon(kernelspec):
    daemon = Daemon()
    yield daemon
    daemon.end()


def test_a_render_and_the_next_one_on_the_same_kernel(daemon):
    """The second finds the interpreter of the first, and nothing that the first has defined."""
    pid = "import os\nos.getpid()"
    first, values = daemon.render(
        pid, "x = 41\nprint('said')\nx", text={"0": "x + 1", "1": "'a' * 2"}
    )
    assert first[1] == [("stdout", "said\n"), ("result", "41")]
    assert values == {"0": {"text/plain": "42"}, "1": {"text/plain": "'aa'"}}
    second = daemon.render(pid, "'x' in globals(), ready")
    assert second == [first[0], [("result", "(False, True)")]]


def test_parameters(daemon):
    """A cell that papermill's translation has made stands behind the one with the defaults."""
    given = translate_parameters("bulkhead", "python", {"n": 5, "s": "ü"}, "Injected Parameters")
    assert daemon.render("n = 1; s = ''", given, "n, s")[-1] == [("result", "(5, 'ü')")]


def test_an_error_and_a_time_out_end_the_render_and_not_the_kernel(daemon):
    """The next render runs on the same interpreter."""
    (pid,) = daemon.render("import os; os.getpid()")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        daemon.render("1 / 0", "print('never')")
    with pytest.raises((CellTimeoutError, CellExecutionError)):
        daemon.render("import time; time.sleep(1000)", timeout=1)
    assert daemon.render("import os; os.getpid()") == [pid]


def test_a_crash_ends_the_render_and_not_the_kernel(daemon):
    """The render fails with the report; the next one runs, where ipykernel's kernel is gone."""
    daemon.render("1")
    with pytest.raises(CellExecutionError, match="KernelSegfault"):
        daemon.render("x = 1", SEGFAULT, "print('never')")
    assert daemon.render("'x' in globals()") == [[("result", "False")]]


def test_a_changed_file_starts_the_next_kernel(daemon, tmp_path):
    """What the clean-up cell told of imported files is compared by the next set-up cell."""
    module = tmp_path / "module_of_the_document.py"
    module.write_text("x = 1")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport {module.stem} as m\nm.x"
    assert daemon.render(code) == [[("result", "1")]]
    module.write_text("x = 22")
    with pytest.raises(RestartError):
        daemon.render(code)
    daemon.end()
    assert daemon.render(code) == [[("result", "22")]]
