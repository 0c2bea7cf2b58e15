"""What each cell used, kept in the notebook: by `bulkhead run`, by nbclient, by papermill."""

from __future__ import annotations

import re
import subprocess
import sys

import nbclient
import nbformat
import pytest
from bulkhead_kernel.kernelspec.cli import main
from bulkhead_kernel.kernelspec.resources import of_reply, record
from command import Command, code
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

FIELDS = {"wall", "cpu_user", "cpu_system", "cpu_children", "memory_peak", "memory_change"}
SPEC = {"name": "bulkhead", "display_name": "Bulkhead", "language": "python"}
WORK = "import time\nwhile time.process_time() < 0.6: pass"


@pytest.fixture
def _installed(tmp_path, monkeypatch):
    """The kernelspec of this very environment, and nothing of the user's."""
    assert main(["install", "--prefix", str(tmp_path)]) == 0
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("BULKHEAD_CRASH_LOG", str(tmp_path / "crashes.jsonl"))


def notebook(*sources):
    cells = [new_markdown_cell("# Title"), *map(new_code_cell, sources)]
    return new_notebook(cells=cells, metadata={"kernelspec": SPEC})


def used(cell):
    return cell.metadata.get("resources")


class TestOfReply:
    @pytest.mark.parametrize("reply", [{}, {"metadata": {}}, {"metadata": {"resources": "much"}}])
    def test_another_kernel_tells_nothing(self, reply):
        """Issue, 2: the hook may be used with any kernel."""
        cell = new_code_cell("1")
        assert of_reply(reply) is None
        record(cell=cell, cell_index=0, execute_reply=reply)
        assert cell.metadata == {}


@pytest.mark.usefixtures("_installed")
class TestNbclient:
    def test_the_hook_keeps_what_each_cell_used(self):
        """Issue, 2: an nbclient hook; the notebook is valid with it."""
        book = notebook("1", WORK)
        nbclient.NotebookClient(book, on_cell_executed=record).execute()
        nbformat.validate(book)
        text, first, second = book.cells
        assert used(text) is None
        assert set(used(first)) == set(used(second)) == FIELDS
        assert used(second)["wall"] > used(first)["wall"]

    def test_of_a_cell_that_fails_or_crashes_too(self):
        """Issue, 2: just what one wants to know of it."""
        for source in ("1/0", "import os; os._exit(1)"):
            book = notebook(source)
            with pytest.raises(CellExecutionError):
                nbclient.NotebookClient(book, on_cell_executed=record).execute()
            assert used(book.cells[1])["wall"] > 0


@pytest.mark.usefixtures("_installed")
class TestPapermill:
    def run(self, tmp_path, *options):
        source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
        nbformat.write(notebook("1", "1/0"), source)
        command = [sys.executable, "-m", "papermill", str(source), str(target), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "ZeroDivisionError" in done.stderr
        return [
            cell
            for cell in nbformat.read(target, 4).cells
            if cell.cell_type == "code" and cell.source in ("1", "1/0")
        ]

    def test_its_engine_keeps_what_each_cell_used(self, tmp_path):
        """Issue, 2: found by its entry point; papermill's own marks are there as well."""
        cells = self.run(tmp_path, "--engine", "bulkhead")
        assert [set(used(cell)) for cell in cells] == [FIELDS, FIELDS]
        assert [cell.metadata.papermill.status for cell in cells] == ["completed", "failed"]

    def test_without_it_nothing_is_added(self, tmp_path):
        """Issue, 2: papermill as it is forgets the metadata of replies."""
        assert [used(cell) for cell in self.run(tmp_path)] == [None, None]


class TestRun:
    def test_shows_and_writes_them(self, tmp_path):
        """Issue, 2: columns in the table, and cell.metadata in the executed notebook."""
        command = Command(tmp_path)
        command.write("'short'", WORK, code("import os; os._exit(1)", "raises-exception"))
        status, out, err = command.run("-o", str(command.output))
        assert (status, err) == (0, "")
        assert re.search("Wall .* CPU .* Memory", out)
        rows = re.findall(r"│ +([\d.]+) s │ +([\d.]+) s │ +(\d+) MiB │$", out, re.MULTILINE)
        assert len(rows) == 3
        wall, cpu, memory = map(float, rows[1])
        assert wall >= cpu > 0.05
        assert memory > 10
        cells = nbformat.read(command.output, as_version=4).cells
        assert [
            FIELDS - {"memory_change", "cpu_children"} <= set(used(cell)) for cell in cells
        ] == [True] * 3
        assert f"{used(cells[1])['wall']:.2f}" == rows[1][0]
