"""A death in words: what happened, where, what was lost, what to do next."""

from __future__ import annotations

import re
import signal

import pytest
from bulkhead_kernel.supervisor.post_mortem import (
    STOPPED,
    UNKNOWN_SENDER,
    Ended,
    Facts,
    gave_up,
    report,
    where_stuck,
)
from hypothesis import given
from hypothesis import strategies as st

NAMES = {
    signal.SIGSEGV: "KernelSegfault",
    signal.SIGBUS: "KernelBusError",
    signal.SIGFPE: "KernelArithmeticError",
    signal.SIGILL: "KernelIllegalInstruction",
    signal.SIGABRT: "KernelAborted",
    signal.SIGTRAP: "KernelTrapped",
    signal.SIGSYS: "KernelForbiddenCall",
    signal.SIGXCPU: "KernelOutOfTime",
}
STACK = """\
Fatal Python error: Segmentation fault

Current thread 0x00007f01 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "<ipython-input-3-0123abcd>", line 2 in crash
  File "<ipython-input-3-0123abcd>", line 4 in <module>
  File "/site-packages/IPython/core/interactiveshell.py", line 3577 in run_code

Thread 0x00007f02 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 324 in wait

Extension modules: numpy.core._multiarray_umath (total: 1)
"""
CODE = "import ctypes\ndef crash(): ctypes.string_at(0)\n\ncrash()"


def told(**facts):
    return report(Facts(**{"exitcode": -11, "pid": 123} | facts))


def flat(text):
    """Give a text without its line breaks."""
    return " ".join(text.split())


class TestTheName:
    @pytest.mark.parametrize("signum", sorted(signal.Signals))
    def test_of_every_signal_is_its_own(self, signum):
        """G19: the name says what kind of end it was, and the text names signal and number."""
        it = told(exitcode=-signum)
        assert it.ename == NAMES.get(signum, "KernelKilled")
        assert f"ended with signal {int(signum)} ({signum.name})" in it.plain

    @pytest.mark.parametrize("code", [0, 1, 3, 137, 255])
    def test_of_an_exit_is_an_exit(self, code):
        """G19: a worker that leaves by itself did so with an exit code, whatever that is."""
        it = told(exitcode=code)
        assert it.ename == "KernelExited"
        assert f"ended by itself with exit code {code}" in it.evalue
        assert f"ended with exit code {code}." in it.plain

    def test_of_a_signal_without_a_name_has_its_number(self):
        """G19: a signal that Python does not know is told by its number."""
        unnamed = max(set(range(1, 65)) - set(signal.Signals))
        assert f"signal {unnamed} (a real-time signal)" in told(exitcode=-unnamed).plain

    def test_of_a_kill_blames_no_memory_without_evidence(self):
        """G19: SIGKILL has many senders; memory is named only if the system says so."""
        assert told(exitcode=-9).evalue == UNKNOWN_SENDER
        it = told(exitcode=-9, out_of_memory="the container's limit of 2.0 GiB was reached.")
        assert it.ename == "KernelOutOfMemory"
        assert it.evalue.endswith("because memory ran out: the container's limit of 2.0 GiB was "
                                  "reached.")  # fmt: skip

    def test_of_a_segfault_stays_one_when_memory_ran_out_elsewhere(self):
        """G19: evidence of an OOM kill explains a SIGKILL and nothing else."""
        assert told(exitcode=-11, out_of_memory="somewhere").ename == "KernelSegfault"

    def test_of_what_we_did_ourselves_is_our_reason(self):
        """G26, G28: a worker that we ended says why, not which signal we used."""
        ended = Ended("KernelStuck", "The interpreter was not ready 60 s after it was started.")
        it = told(exitcode=-9, ended=ended, out_of_memory="somewhere")
        assert (it.ename, it.evalue) == ended


class TestTheText:
    def test_begins_with_name_and_reason(self):
        """G19: the first line is what a client shows without opening the traceback."""
        it = told()
        assert flat(it.plain).startswith(f"{it.ename}: {it.evalue} ")
        assert it.plain.startswith(f"{it.ename}: ")

    def test_breaks_its_lines_between_words(self):
        """G19: JupyterLab breaks a long line anywhere."""
        assert max(map(len, told(code="x = 1", limit=1 << 30, peak=1 << 30).plain.split("\n"))) < 90

    def test_ends_with_what_is_lost_and_what_to_do(self):
        """G19: consequences and the next step, in words."""
        assert flat(told(code="x = 1").plain).endswith(
            "Its variables are gone. What was printed is all here, and a new interpreter takes "
            "over. Next: run the cells above this one again, and change this one first."
        )
        assert told().plain.endswith("Next: run the cells that made the variables you need again.")

    def test_shows_the_line_of_the_cell(self):
        """G19: faulthandler's stack is read: the crashing line, with its neighbours."""
        it = told(stack=STACK, code=CODE, execution_count=3)
        assert it.line == 2
        assert (
            "In line 2 of the cell:\n"
            "        1 import ctypes\n"
            "---->   2 def crash(): ctypes.string_at(0)\n"
            "        3 \n"
        ) in it.plain

    def test_shows_the_stack_down_to_the_cell(self):
        """G18: what faulthandler wrote is told, without what called the cell."""
        plain = told(stack=STACK, code=CODE, execution_count=3).plain
        assert "Fatal Python error" not in plain  # it is told in other words
        assert "line 519 in string_at\n  Cell In[3], line 2 in crash\n" in plain
        assert "line 324 in wait" in plain
        assert "run_code" not in plain
        assert "Extension modules" not in plain

    def test_names_no_line_of_another_cell(self):
        """G19: a frame of an earlier cell is in the stack, and is not the cell's line."""
        assert told(stack=STACK, code=CODE, execution_count=4).line == 0
        assert told(stack=STACK, code="", execution_count=3).line == 0
        assert told(stack=STACK, code="one line", execution_count=3).plain.count("In line") == 0

    def test_shows_the_end_of_a_long_story(self):
        """G19: a traceback that nobody can read is cut, and says so."""
        frames = "\n".join(f'  File "x.py", line {line} in f' for line in range(500))
        plain = told(stack="Current thread 0x1 (most recent call first):\n" + frames).plain
        assert "more lines" in plain
        assert plain.count("\n") < 80

    def test_shows_what_native_code_wrote_last(self):
        """G18: abort() has written its reason to descriptor 2."""
        plain = told(exitcode=-6, native="old\n" * 50 + "free(): invalid pointer\n").plain
        assert "Last written to stderr by native code:\nold\n" in plain
        assert "free(): invalid pointer" in plain
        assert plain.count("old") < 10

    def test_tells_how_much_memory_it_had(self):
        """G19: the peak is the first thing to look at after a kill."""
        assert "after using up to 300 MiB of memory" in flat(told(peak=300 << 20).plain)
        assert "after using up to 3.5 GiB of memory" in flat(told(peak=7 << 29).plain)
        assert "memory" not in told(exitcode=-11).plain.split("ended with")[1].split("\n")[0]

    def test_counts_the_cells_that_will_not_be_run(self):
        """G21: who waits is told of, in number."""
        assert "1 cell that was waiting will not be run." in told(queued=1).plain
        assert "3 cells that were waiting will not be run." in told(queued=3).plain
        assert "waiting" not in told().plain

    def test_before_hello_blames_the_start(self):
        """G25: no cell is to blame for an interpreter that never started."""
        plain = told(before_hello=True, exitcode=1).plain
        assert "It had not started yet." in plain
        assert "variables" not in plain
        assert "takes over" not in plain

    def test_has_colours_only_where_they_are_shown(self):
        """A log has the same words without them."""
        it = told(stack=STACK, code=CODE, execution_count=3, native="x")
        assert "\x1b[31m" in it.text
        assert "\x1b" not in it.plain
        assert re.sub(r"\x1b\[\d+m", "", it.text) == it.plain
        assert it.text == "\n".join(it.lines)


class TestAnEndThatWasAskedFor:
    @pytest.mark.parametrize("exitcode", [0, -9, -15])
    def test_by_a_shutdown_alarms_nobody(self, exitcode):
        """G31: once stopping has begun, a death is an end, whatever the exit code."""
        it = told(exitcode=exitcode, stopping=True, ended=Ended("KernelStuck", "anything"))
        assert it == STOPPED
        assert it.expected
        assert it.plain == "KernelStopped: The kernel was shut down while this ran."

    def test_by_exit_alarms_nobody(self):
        """G22: a user who says exit() knows."""
        it = told(exitcode=0, leaving=True)
        assert it.expected
        assert it.ename == "KernelExited"

    def test_is_the_exception(self):
        """G19: everything else is told in full."""
        assert not told(exitcode=0).expected


class TestGivingUp:
    def test_says_so_and_why(self):
        """G25: who asks a kernel that gave up is told so, the last reason, and what to do."""
        last = told(exitcode=1, before_hello=True, native="SyntaxError: startup.py\n")
        it = gave_up(last)
        assert it.ename == "KernelExited"
        assert it.evalue.startswith("The interpreter died three times running before it was ready")
        assert last.evalue in it.evalue
        assert "SyntaxError: startup.py" in it.plain
        assert it.plain.endswith("Next: mend the cause, then restart the kernel.")
        assert it.expected  # nothing that waits is aborted for it: each request is told the same


class TestWhereItIsStuck:
    def test_is_told_with_the_stack_and_the_choice(self):
        """G29: an interrupt that is not heard is answered with where the code is, and what then."""
        text = where_stuck(STACK, 3.0, 8.0)
        assert "has not been heard for 3 s" in text
        assert "Cell In[3], line 2 in crash" in text
        assert "It is ended 8 s after the first interrupt." in text
        assert text.endswith("\n")


class TestWhateverTheFacts:
    @given(
        st.integers(-70, 300), st.text(max_size=200), st.text(max_size=50), st.text(max_size=50),
        st.integers(0, 5), st.booleans(),
    )  # fmt: skip
    def test_there_are_words(self, exitcode, stack, code, native, count, before_hello):
        """G26: what a dying worker left behind may be anything; telling it never fails."""
        it = report(
            Facts(exitcode, 1, 0, stack, code=code, native=native, execution_count=count,
                  before_hello=before_hello)
        )  # fmt: skip
        assert it.ename.startswith("Kernel")
        assert it.evalue
        assert it.lines
