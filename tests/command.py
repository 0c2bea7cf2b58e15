"""The command ``bulkhead run`` for tests, and what it told."""

import os
import re
import subprocess
import sys
import uuid

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_notebook

BULKHEAD = [sys.executable, "-m", "bulkhead_kernel.kernelspec", "run"]
DEADLINE = 60


class Command:
    """``bulkhead run`` in a folder of its own; whatever it starts bears a mark."""

    def __init__(self, folder):
        self.folder = folder
        self.notebook = folder / "notebook.ipynb"
        self.output = folder / "out.ipynb"
        self._mark = uuid.uuid4().hex
        self.environment = os.environ | {
            "BULKHEAD_TEST": self._mark,
            "COLUMNS": "100",
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
        }

    def write(self, *cells, **metadata):
        """Write the notebook: cells, or the code of cells."""
        cells = [code(cell) if isinstance(cell, str) else cell for cell in cells]
        nbformat.write(new_notebook(cells=cells, metadata=metadata), self.notebook)

    def run(self, *options):
        """Run it to its end; give the exit status, stdout and stderr."""
        return self.finish(self.start(*options))

    def start(self, *options, stdout=subprocess.PIPE):
        return subprocess.Popen(
            [*BULKHEAD, str(self.notebook), *options],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def finish(self, process):
        out, err = process.communicate(timeout=DEADLINE)
        assert "Traceback" not in err
        self.assert_nothing_is_left()
        return process.returncode, out, err

    def assert_nothing_is_left(self):
        marked = [each for each in psutil.process_iter() if self._is_marked(each)]
        _, alive = psutil.wait_procs(marked, timeout=5)
        assert alive == []

    def _is_marked(self, process):
        try:
            return process.environ().get("BULKHEAD_TEST") == self._mark
        except psutil.Error:
            return False

    def outputs(self):
        """Give what each code cell of the executed notebook holds."""
        notebook = nbformat.read(self.output, as_version=4)
        nbformat.validate(notebook)
        return [holds(cell) for cell in notebook.cells if cell.cell_type == "code"]


def code(source, *tags, outputs=()):
    metadata = {"tags": [*tags]} if tags else {}
    return new_code_cell(source, metadata=metadata, outputs=[*outputs])


def holds(cell):
    """Give a cell's outputs: text with its neighbours, the plain text of a result, error names."""
    told = []
    for output in cell.outputs:
        match output.output_type:
            case "stream" if told and told[-1][0] == output.name:
                told[-1] = output.name, told[-1][1] + output.text
            case "stream":
                told.append((output.name, output.text))
            case "error":
                told.append(("error", output.ename))
            case kind:
                told.append((kind, output.data["text/plain"]))
    return told


def table(out):
    """Give the table's rows without their times."""
    rows = re.findall(
        r"^│ +(\d+) │ (.*?) +│ (.*?) +│ +(?:[\d.]+ s)? │ +(?:[\d.]+ s)? │ +(?:[\d.]+ [MG]iB)? │$",
        out,
        re.MULTILINE,
    )
    return [(int(number), line, outcome) for number, line, outcome in rows]
