"""``bulkhead run``: real notebooks, executed by the real command in a process of its own."""

import contextlib
import json
import os
import pty
import re
import signal
import sys
from pathlib import Path

import nbformat
import pytest
from bulkhead_kernel.kernelspec.outcomes import Failure, failure_of
from command import Command, code, table
from nbformat.v4 import new_markdown_cell, new_output

TOUR = Path(__file__).parent.parent / "examples" / "tour.ipynb"
SEGFAULT = "import ctypes; print('last words', end=''); ctypes.string_at(0)"
FOR_EVER = "import threading; open({!r}, 'w').close(); threading.Event().wait()"
"""Tells through a named pipe that it runs, and does not end by itself."""


@pytest.fixture
def command(tmp_path):
    return Command(tmp_path)


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


class TestTour:
    def test_it_runs_and_shows_the_crash(self, command):
        """README's first command: exit status 0, and the crash on purpose with its report."""
        before = TOUR.read_bytes()
        command.notebook = TOUR
        status, out, err = command.run("-o", str(command.output))
        assert (status, err) == (0, "")
        rows = table(out)
        assert [number for number, _, _ in rows] == list(range(1, len(rows) + 1))
        crash = next(row for row in rows if row[1] == "# Crash, on purpose")
        assert crash[2] == "KernelSegfault (expected)"
        assert {row[2] for row in rows if row is not crash} == {"ok"}
        assert f"\nCell {crash[0]}: KernelSegfault (expected)\nKernelSegfault: " in out
        assert "touched memory that is not its own" in out
        assert TOUR.read_bytes() == before

    def test_what_it_shows_is_true(self, command):
        """The lines stand in order; last words and variables survive, the process does not."""
        command.notebook = TOUR
        command.run("-o", str(command.output))
        who, order, _, later, ship, _, crash, kept, who_now = command.outputs()
        assert [text for _, text in order] == [
            "1  Python prints\n2  C code writes\n3  a shell command echoes\n",
            "<IPython.core.display.Markdown object>",
            "5  another Python prints\n6  and Python again\n",
        ]
        assert int(later[0][1].removeprefix("Ticks a cell later:")) > 0
        assert ship == [("execute_result", "<IPython.core.display.SVG object>")]
        words = "The last words, without a newline and without a flush"
        assert crash == [("stdout", words), ("error", "KernelSegfault")]
        shown = "The treasure: ['all my results']\nThe task ticks on: True\n"
        assert kept == [("stdout", shown)]
        assert who != who_now

    def test_it_is_fit_to_be_committed(self):
        """The notebook holds no outputs and names the kernel that it is about."""
        notebook = json.loads(TOUR.read_text(encoding="utf-8"))
        nbformat.validate(notebook)
        assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
        assert notebook["metadata"]["kernelspec"]["name"] == "bulkhead"
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


class TestOutcome:
    def test_all_is_well(self, command):
        """Each cell of code is a line as it begins and a row at the end; nothing is written."""
        command.write(new_markdown_cell("prose"), "print('hello')\n1", "  ", "[bold] = [1]")
        before = sorted(command.folder.iterdir())
        status, out, err = command.run()
        assert (status, err) == (0, "")
        assert out.startswith("cell 1 of 2: print('hello')\ncell 2 of 2: [bold] = [1]\n")
        assert table(out) == [(1, "print('hello')", "ok"), (2, "[bold] = [1]", "ok")]
        new = {path.name for path in command.folder.iterdir()} - {path.name for path in before}
        assert new <= {"ipython", "data"}

    def test_a_cell_fails(self, command):
        """The run ends with it: exit status 1, its traceback on screen, the executed notebook."""
        command.write("'fine'", "x = 1\nx / 0", code("'old'", outputs=[new_output("stream")]))
        status, out, err = command.run("-o", str(command.output))
        assert status == 1
        assert table(out) == [
            (1, "'fine'", "ok"),
            (2, "x = 1", "ZeroDivisionError"),
            (3, "'old'", "not run"),
        ]
        assert "Cell 2: ZeroDivisionError\n" in out
        assert "----> 2 x / 0\n" in out
        assert err == "bulkhead: Cell 2 failed. ZeroDivisionError: division by zero\n"
        assert command.outputs() == [
            [("execute_result", "'fine'")],
            [("error", "ZeroDivisionError")],
            [],
        ]

    def test_a_cell_crashes(self, command):
        """The report of the death is the cell's error (G19), below all that it printed (G18)."""
        command.write(SEGFAULT, "'never'")
        status, out, err = command.run("-o", str(command.output))
        assert status == 1
        assert [row[2] for row in table(out)] == ["KernelSegfault", "not run"]
        assert "Cell 1: KernelSegfault\nKernelSegfault: The interpreter touched memory" in out
        assert "(SIGSEGV)" in out
        assert err.startswith("bulkhead: Cell 1 failed. KernelSegfault: ")
        assert err.count("\n") == 1
        assert command.outputs() == [[("stdout", "last words"), ("error", "KernelSegfault")], []]

    def test_cells_that_may_fail(self, command):
        """With the tag raises-exception an error or a crash is expected, and the run goes on."""
        crash, error = code(SEGFAULT, "raises-exception"), code("1 / 0", "raises-exception")
        command.write("x = 1", crash, "'x' in globals()", error, code("2", "raises-exception"))
        status, out, err = command.run("-o", str(command.output))
        assert (status, err) == (0, "")
        assert [row[2] for row in table(out)] == [
            "ok",
            "KernelSegfault (expected)",
            "ok",
            "ZeroDivisionError (expected)",
            "ok",
        ]
        assert command.outputs()[2] == [("execute_result", "False")]

    def test_all_cells_may_fail(self, command):
        """With --allow-errors the run goes on after any error, and its exit status is 0."""
        command.write("1 / 0", SEGFAULT, "3")
        status, out, _ = command.run("--allow-errors")
        assert status == 0
        assert [row[2] for row in table(out)] == [
            "ZeroDivisionError (allowed)",
            "KernelSegfault (allowed)",
            "ok",
        ]

    def test_a_cell_that_is_not_to_run(self, command):
        """With the tag skip-execution a cell is skipped, and keeps the outputs that it has."""
        kept = new_output("stream", text="kept")
        command.write(code("1 / 0", "skip-execution", outputs=[kept]), "2")
        status, out, _ = command.run("-o", str(command.output))
        assert status == 0
        assert [row[2] for row in table(out)] == ["skipped", "ok"]
        assert command.outputs() == [[("stdout", "kept")], [("execute_result", "2")]]

    def test_the_supervisor_itself_is_killed(self, command):
        """Even the end of the whole kernel is told in its cell, also if the cell may fail."""
        kill = "import os, signal; os.kill(os.getsid(0), signal.SIGKILL); input()"
        command.write(code(kill, "raises-exception"), "2")
        status, out, err = command.run("-o", str(command.output))
        assert status == 1
        assert [row[2] for row in table(out)] == ["DeadKernelError", "not run"]
        assert err.startswith("bulkhead: Cell 1 failed. DeadKernelError: ")
        assert command.outputs()[0][-1] == ("error", "DeadKernelError")

    def test_a_refusal_is_a_failure(self):
        """A reply that is neither ok nor an error means that the cell did not run: never a success.

        nbclient takes 'aborted' for one.
        """
        assert failure_of({"status": "ok"}) is None
        refusal = Failure("aborted", "the kernel did not run this cell", fatal=True)
        assert failure_of({"status": "aborted"}) == refusal


class TestWhereItRuns:
    def test_on_this_python_whatever_is_installed(self, command):
        """The spec in the notebook does not count, nor does a spec of our name elsewhere."""
        decoy = command.folder / "data" / "kernels" / "bulkhead"
        decoy.mkdir(parents=True)
        spec = {"argv": ["false"], "display_name": "Decoy", "language": "python"}
        (decoy / "kernel.json").write_text(json.dumps(spec))
        kernelspec = {"name": "no-such-kernel", "display_name": "Gone", "language": "python"}
        command.write(
            "import sys; sys.executable",
            "get_ipython().kernel.implementation",
            kernelspec=kernelspec,
        )
        status, _, _ = command.run("-o", str(command.output))
        assert status == 0
        assert command.outputs() == [
            [("execute_result", repr(sys.executable))],
            [("execute_result", "'bulkhead'")],
        ]

    def test_in_the_folder_of_the_notebook(self, command):
        """Relative paths in a notebook mean what they mean in Jupyter."""
        command.write("import os; os.getcwd()")
        command.run("-o", str(command.output))
        assert command.outputs() == [[("execute_result", repr(str(command.folder)))]]

    def test_the_history_of_the_user_stays_his(self, command):
        """What a notebook runs is not what the user typed."""
        command.write("get_ipython().history_manager.hist_file")
        command.run("-o", str(command.output))
        assert command.outputs() == [[("execute_result", "':memory:'")]]

    def test_an_interpreter_that_does_not_start(self, command):
        """A start-up file that kills each interpreter is told of, and no cell is blamed."""
        startup = command.folder / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "deadly.py").write_text("import os; os._exit(3)")
        command.write("1")
        status, out, err = command.run()
        assert (status, out) == (1, "")
        assert err.splitlines()[-1].startswith("bulkhead: The interpreter did not start. Kernel")

    def test_a_kernel_that_does_not_start(self, command):
        """What the kernel says of itself stands on the screen, and that it did not start."""
        command.environment["BULKHEAD_LOG_LEVEL"] = "loud"
        command.write("1")
        status, out, err = command.run()
        assert (status, out) == (1, "")
        assert "--log-level must be one of" in err
        assert err.splitlines()[-1].startswith("bulkhead: The kernel did not start: ")


class TestBadInput:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "The notebook {} cannot be read: No such file or directory."),
            ("", "{} is not a Jupyter notebook: Notebook does not appear to be JSON: ''."),
            ("print(1)", "{} is not a Jupyter notebook: Notebook does not appear to be JSON"),
            (b"\xff\xfe", "{} is not a Jupyter notebook: 'utf-8' codec can't decode"),
            ("[]", "{} is not a Jupyter notebook: "),
            ("[" * 100_000, "{} is not a Jupyter notebook: "),
            ('{"nbformat": 4, "metadata": {}}', "{} is not a Jupyter notebook: "),
            ('{"nbformat": 9, "nbformat_minor": 0}', "{} is not a Jupyter notebook: "),
            (
                '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{}]}',
                "{} is not a Jupyter notebook: ",
            ),
            (
                '{"nbformat": 4, "nbformat_minor": 5, "cells": [],'
                ' "metadata": {"language_info": {"name": "R"}}}',
                "The notebook {} is in r, and this kernel runs Python.",
            ),
            (
                '{"nbformat": 4, "nbformat_minor": 5, "cells": [],'
                ' "metadata": {"kernelspec": {"language": "julia", "name": "j",'
                ' "display_name": "J"}}}',
                "The notebook {} is in julia, and this kernel runs Python.",
            ),
        ],
    )
    def test_a_notebook_that_cannot_run(self, command, content, words):
        """What is wrong with a notebook is told in one line, and nothing runs."""
        if content is not None:
            command.notebook.write_bytes(
                content if isinstance(content, bytes) else content.encode()
            )
        status, out, err = command.run()
        assert (status, out) == (1, "")
        assert err.startswith("bulkhead: " + words.format(command.notebook))
        assert err.count("\n") == 1

    @pytest.mark.parametrize("where", ["nowhere/out.ipynb", "."])
    def test_an_output_that_cannot_be_written(self, command, where):
        """It is told before the first cell runs, not after the last."""
        command.write("open('ran', 'w')")
        status, _, err = command.run("-o", str(command.folder / where))
        assert status == 1
        assert err.startswith(f"bulkhead: {command.folder / where} cannot be written: ")
        assert not (command.folder / "ran").exists()

    def test_an_old_notebook(self, command):
        """Notebooks from before cells had ids run as they are."""
        cell = {"cell_type": "code", "source": "1", "metadata": {}, "outputs": []}
        cell["execution_count"] = None
        notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
        command.notebook.write_text(json.dumps(notebook))
        status, _, err = command.run("-o", str(command.output))
        assert (status, err) == (0, "")
        assert command.outputs() == [[("execute_result", "1")]]


class TestEndedEarly:
    def test_by_its_limit(self, command):
        """A cell that takes too long is interrupted: the screen shows where it was."""
        command.write(code("import threading\nthreading.Event().wait()", "raises-exception"), "2")
        status, out, err = command.run("--timeout", "1", "-o", str(command.output))
        assert status == 1
        assert [row[2] for row in table(out)] == ["CellTimeoutError", "not run"]
        assert "----> 2 threading.Event().wait()" in out
        assert err == (
            "bulkhead: Cell 1 failed. "
            "CellTimeoutError: The cell took longer than 1 s (--timeout).\n"
        )
        errors = [("error", "KeyboardInterrupt"), ("error", "CellTimeoutError")]
        assert command.outputs() == [errors, []]

    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
    def test_by_a_signal(self, command, pipe, signum):
        """Ctrl-C and SIGTERM end the run, not the record of it, whatever the cell may."""
        command.write("1", code(FOR_EVER.format(str(pipe)), "raises-exception"), "3")
        process = command.start("-o", str(command.output))
        pipe.read_text()
        process.send_signal(signum)
        status, out, err = command.finish(process)
        assert status == 1
        assert [row[2] for row in table(out)] == ["ok", "Interrupted", "not run"]
        assert ("KeyboardInterrupt" in out) is (signum == signal.SIGINT)
        assert err.splitlines()[-1].startswith("bulkhead: Cell 2 failed. Interrupted: ")
        assert command.outputs()[1][-1] == ("error", "Interrupted")

    def test_by_a_second_ctrl_c(self, command, pipe):
        """A cell that does not heed the first one is not waited for."""
        deaf = f"import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [{signal.SIGINT:d}])\n"
        command.write(deaf + FOR_EVER.format(str(pipe)))
        process = command.start()
        pipe.read_text()
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "Interrupting the cell. Ctrl-C again gives it up.\n"
        process.send_signal(signal.SIGINT)
        status, out, _ = command.finish(process)
        assert status == 1
        assert [row[2] for row in table(out)] == ["Interrupted"]

    def test_by_a_reader_who_has_enough(self, command):
        """``bulkhead run ... | head -1`` leaves nothing behind and complains of nothing."""
        command.write("1", "2")
        process = command.start()
        assert process.stdout.readline() == "cell 1 of 2: 1\n"
        process.stdout.close()
        process.stdout = None
        _, _, err = command.finish(process)
        assert err == ""


class TestScreen:
    def test_a_terminal_sees_a_bar(self, command):
        """On a terminal the progress is a bar, which is gone when the table comes."""
        command.write("'one'", "'two'")
        command.environment["TERM"] = "xterm"
        ours, theirs = pty.openpty()
        process = command.start(stdout=theirs)
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while some := os.read(ours, 4096):
                seen += some
        os.close(ours)
        status, _, err = command.finish(process)
        assert (status, err) == (0, "")
        text = seen.decode()
        assert "0/2" in text
        assert "cell 1 of 2" not in text
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "")
        assert table(plain) == [(1, "'one'", "ok"), (2, "'two'", "ok")]

    def test_a_log_in_ascii(self, command):
        """Any text can be told anywhere: what the encoding lacks is escaped."""
        command.environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        command.write("raise ValueError('→')")
        status, out, err = command.run()
        assert status == 1
        assert r"cell 1 of 1: raise ValueError('\u2192')" in out
        assert err == "bulkhead: Cell 1 failed. ValueError: \\u2192\n"
