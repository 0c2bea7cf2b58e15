"""Batch runs: the error of a crash is in the notebook, and the run has failed."""

import subprocess
import sys

import nbclient
import nbformat
import pytest
from bulkhead_kernel.kernelspec.cli import main
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

DEATHS = {
    "KernelExited": "import os; os._exit(0)",
    "KernelKilled": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "KernelSegfault": "import ctypes; ctypes.string_at(0)",
    "KernelAborted": "import os; os.abort()",
    "KernelBusError": "import os, signal; os.kill(os.getpid(), signal.SIGBUS)",
    "KernelArithmeticError": "import os, signal; os.kill(os.getpid(), signal.SIGFPE)",
}


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    """The kernelspec of this very environment, and nothing of the user's."""
    assert main(["install", "--prefix", str(tmp_path)]) == 0
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("BULKHEAD_CRASH_LOG", str(tmp_path / "crashes.jsonl"))


@pytest.fixture(params=DEATHS)
def ename(request):
    return request.param


def notebook(ename, *tags):
    cells = [
        new_code_cell("kept = 1"),
        new_code_cell("print('before', end='')\n" + DEATHS[ename], metadata={"tags": list(tags)}),
        new_code_cell("print('after')"),
    ]
    spec = {"name": "bulkhead", "display_name": "Bulkhead", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": spec})


def outputs(cell):
    return [output.get("ename") or output.get("text") for output in cell.outputs]


def test_nbclient_stops_at_the_crash_with_our_words(ename):
    """G19: the cell has its error, and what was printed before it (G18)."""
    book = notebook(ename)
    with pytest.raises(CellExecutionError, match=ename):
        nbclient.NotebookClient(book).execute()
    assert outputs(book.cells[1]) == ["before", ename]
    assert outputs(book.cells[2]) == []


def test_a_tag_lets_the_run_go_on(ename):
    """G21: `raises-exception` covers a crash; the next cell runs on the next worker."""
    book = notebook(ename, "raises-exception")
    nbclient.NotebookClient(book).execute()
    assert [outputs(cell) for cell in book.cells] == [[], ["before", ename], ["after\n"]]


def test_a_name_lets_the_run_go_on(ename):
    """G19: the names are stable, so `allow_error_names` can say them."""
    book = notebook(ename)
    nbclient.NotebookClient(book, allow_error_names=[ename]).execute()
    assert [outputs(cell) for cell in book.cells] == [[], ["before", ename], ["after\n"]]


def run(tmp_path, book, *command):
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    nbformat.write(book, source)
    words = [word.format(source=source, target=target) for word in command]
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, check=False
    )
    return done, nbformat.read(target, 4) if target.exists() else None


def test_papermill_marks_the_cell_as_failed(tmp_path, ename):
    """G19: a status 'failed' and an exception in the notebook, also for os._exit(0)."""
    done, book = run(tmp_path, notebook(ename), "papermill", "{source}", "{target}")
    assert done.returncode == 1
    assert ename in done.stderr
    (cell,) = [cell for cell in book.cells if "before" in cell.source]
    assert cell.metadata.papermill.status == "failed"
    assert cell.metadata.papermill.exception is True
    assert outputs(cell)[-2:] == ["before", ename]


def test_nbconvert_fails_with_our_words(tmp_path, ename):
    """G19: whoever reads the log of a nightly run reads why."""
    convert = ("nbconvert", "--to", "notebook", "--execute", "{source}", "--output", "{target}")
    done, _ = run(tmp_path, notebook(ename), *convert)
    assert done.returncode == 1
    assert f"{ename}\x1b[0m: " in done.stderr
