"""Variables that move to a fresh interpreter because the snapshot that has them cannot live.

pyzmq's threads are such that no fork of theirs works: a socket is enough to make each snapshot one
that can only give what can be serialized (G41, G42).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import psutil
import pytest
from frontend import DEADLINE, Gate
from test_recovery import SEGFAULT, crash, told, value
from test_restart_in_place import Kept

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="snapshots need Linux")

RECOVER = ("--recover=on",)
UNSAFE = (
    "import sys, zmq; sys.modules['hidden'] = zmq.Context.instance().socket(zmq.PULL); del sys, zmq"
)
"""From here on the interpreter has threads of zmq's, and no variable that says so."""


@pytest.fixture
def unsafe(launch):
    """A kernel whose interpreter cannot be restored, and has no variable yet."""
    return unsafe_kernel(launch)


def unsafe_kernel(launch, **options):
    frontend = launch(options=RECOVER, **options)
    frontend.run(UNSAFE)
    return frontend


def standing(frontend):
    """Give what usage_reply says of recovery."""
    parent = frontend.send("control", "usage_request")
    return frontend.recv("control", "usage_reply", parent).content["bulkhead"]


def save(frontend, cell="pass"):
    """Run a cell, and see to it that it is in a snapshot."""
    count = frontend.run(cell).reply["execution_count"]
    end = time.monotonic() + DEADLINE
    while (found := standing(frontend)["recovery"]) is None or found["execution_count"] != count:
        assert time.monotonic() < end, found and found["why_not"]
        if "is running" in str(found and found["why_not"]):  # one more chance after one more cell
            count = frontend.run("pass").reply["execution_count"]
    return found


def assert_left(frontend, text, *expressions):
    assert "moved to a fresh interpreter" in text, text
    for expression in expressions:
        assert value(frontend, f"bool({expression})") == "True", expression


class TestWhatMoves:
    def test_is_named_and_as_it_was_after_the_last_completed_cell(self, unsafe):
        """G41, G42: the values of the newest snapshot, not those of the fatal cell."""
        save(unsafe, "n = 1; words = ['a']")
        text = crash(unsafe, "n = 2; words.append('b')\n" + SEGFAULT)
        assert "2 variables were moved to a fresh interpreter" in text
        assert "as they were after In [2]: n, words." in text
        assert "libzmq" in text
        assert "has threads of its own, and cannot be copied" in text
        assert "Not moved" not in text
        assert_left(unsafe, text, "(n, words) == (1, ['a'])")

    def test_what_they_share_stays_shared(self, unsafe):
        """G42: also beside a value that cannot be moved."""
        save(unsafe, "a = [1]; b = {'a': a}; g = (i for i in [1])")
        text = crash(unsafe)
        assert "Not moved: g (cannot pickle 'generator' object)." in text
        assert_left(unsafe, text, "b['a'] is a", "'g' not in globals()")

    def test_functions_and_classes_of_cells(self, unsafe):
        """G42: they find names where later cells change them, and closures share what they did."""
        save(
            unsafe,
            "def f(): return base + _hidden\n"
            "base = 1; _hidden = 10\n"
            "class C:\n"
            "    def get(self): return f()\n"
            "class D(C):\n"
            "    def get(self): return super().get() + 100\n"
            "c = D()\n"
            "def counter():\n"
            "    n = 0\n"
            "    def up():\n"
            "        nonlocal n; n += 1\n"
            "    return up, lambda: n\n"
            "up, get = counter()\n"
            "def fact(n: int = 3) -> int: return n * fact(n - 1) if n else 1",
        )
        text = crash(unsafe)
        assert "_hidden" in text
        unsafe.run("base = 2; up(); up()")
        assert_left(
            unsafe, text, "f() == 12", "c.get() == 112", "type(c) is D", "get() == 2", "fact() == 6"
        )

    def test_the_source_of_functions(self, unsafe):
        """G42: a traceback shows the line, and so does ?."""
        save(unsafe, "def fails():\n    raise ValueError('here')")
        text = crash(unsafe)
        assert_left(unsafe, text, "__import__('inspect').getsource(fails).startswith('def fails')")
        (entry,) = unsafe.run("fails()", "error").messages
        assert "raise" in "".join(entry.content["traceback"])

    def test_what_ipython_has_put_there_does_not(self, unsafe):
        """G42: outputs and inputs are the dead interpreter's."""
        unsafe.run("'an output'")
        save(unsafe, "n = 1")
        text = crash(unsafe)
        assert "1 variable was moved to a fresh interpreter, as it was after In [3]: n." in text
        out = unsafe.run("'_2' in globals()")
        assert out == [("result", "False")]
        assert out.reply["execution_count"] == 1

    def test_where_modules_and_files_are_looked_for(self, unsafe, tmp_path):
        """G42: a module beside the notebook is found where it was."""
        folder = tmp_path / "elsewhere"
        (folder / "library").mkdir(parents=True)
        (folder / "library" / "of_mine.py").write_text("class Thing: pass\n")
        save(
            unsafe,
            f"import os, sys; os.chdir({str(folder)!r}); sys.path.insert(0, 'library')\n"
            "os.environ['SAID'] = 'yes'; import of_mine; thing = of_mine.Thing()",
        )
        text = crash(unsafe)
        assert_left(
            unsafe,
            text,
            "type(thing) is of_mine.Thing",
            f"os.getcwd() == {str(folder)!r}",
            "os.environ['SAID'] == 'yes'",
        )

    def test_a_view_stays_a_view(self, unsafe):
        """G42: an array that shows part of another one still does."""
        save(unsafe, "import numpy; a = numpy.arange(10.); v = a[2:4]; m = a.reshape(2, 5).T")
        text = crash(unsafe)
        unsafe.run("v[0] = 7")
        assert_left(unsafe, text, "a[2] == 7", "m[2, 0] == 7", "m.shape == (5, 2)")

    def test_a_gigabyte(self, unsafe):
        """G42: big arrays move, too; what that takes follows from their size and the machine."""
        save(unsafe, "import numpy; a = numpy.ones(1 << 27)")
        parent = unsafe.execute(SEGFAULT)
        unsafe.recv_begin(parent)
        error = unsafe.recv("iopub", "error", parent, deadline=100).content
        unsafe.recv_idle(parent)
        unsafe.recv_reply(parent, "error")
        assert_left(unsafe, told(error), "a.sum() == 1 << 27")

    def test_restored_or_moved_it_goes_on(self, unsafe):
        """G41: the fresh interpreter has a snapshot of its own before it runs anything."""
        save(unsafe, "n = [1]")
        crash(unsafe)
        text = crash(unsafe)
        assert "Its variables are back" in text
        assert value(unsafe, "n") == "[1]"

    def test_what_was_lost_since_is_told(self, launch):
        """G41: by the numbers of the cells."""
        fresh = unsafe_kernel(launch)
        save(fresh, "n = 1")
        fresh.run("%recovery off")
        fresh.run("n = 2")
        assert "They could not be restored: it was switched off" in crash(fresh)

    def test_between_requests(self, unsafe):
        """G22: told on stderr; what is moved is there for the next cell."""
        save(unsafe, "n = 1")
        pid = unsafe.worker_pid()
        save(unsafe)
        os.kill(pid, 9)
        text = unsafe.recv("iopub", "stream", None).content["text"]
        assert "1 variable was moved" in " ".join(text.split())
        assert value(unsafe, "n") == "1"

    def test_a_request_that_waits_finds_them(self, unsafe):
        """G21: what is sent after the crash runs once everything is there."""
        save(unsafe, "n = 1")
        parent = unsafe.execute(SEGFAULT, stop_on_error=False)
        unsafe.recv_begin(parent)
        unsafe.recv_crash(parent, "KernelSegfault")
        assert value(unsafe, "n") == "1"

    def test_queued_cells_are_aborted_after_it_is_told(self, unsafe):
        """G19, G21."""
        save(unsafe, "n = 1")
        parent = unsafe.execute(SEGFAULT)
        queued = unsafe.execute("n = 2")
        unsafe.recv_begin(parent)
        error = unsafe.recv_error(parent, "KernelSegfault")
        assert "1 cell that was waiting will not be run" in told(error)
        unsafe.recv_idle(parent)
        unsafe.recv_reply(parent, "error")
        unsafe.recv_aborted(queued)
        assert value(unsafe, "n") == "1"

    def test_a_snapshot_that_cannot_wake_gives_what_it_has(self, launch):
        """G42: restoring is tried first; what is alive and cannot go on is a donor still."""
        fresh = launch(options=RECOVER)
        save(fresh, "import sys; sys.modules['colorsys'] = None; n = 1")
        text = crash(fresh)
        assert "could not go on (ModuleNotFoundError: import of colorsys halted" in text
        assert_left(fresh, text, "n == 1", "__import__('colorsys') is not None")


class TestStartUpFiles:
    def test_run_before_anything_is_moved(self, launch, tmp_path):
        """G42: what was there is moved over what they make; those that wait are waited for."""
        folder = tmp_path / "kernel-0" / "ipython" / "profile_default" / "startup"
        folder.mkdir(parents=True)
        (folder / "names.py").write_text("n = 'fresh'; once = 'fresh'\nimport time; time.sleep(3)")
        fresh = unsafe_kernel(launch)
        save(fresh, "n = 1; del once")
        text = crash(fresh)
        assert_left(fresh, text, "n == 1", "once == 'fresh'")


class TestAThreadOfALibraryThatNobodyKnows:
    SOURCE = """
        #include <pthread.h>
        #include <unistd.h>
        static void *run(void *nothing) { for (;;) pause(); return nothing; }
        int begin(void) { pthread_t thread; return pthread_create(&thread, 0, run, 0); }
    """

    @pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a compiler")
    def test_is_not_copied(self, launch, tmp_path):
        """G42: what is not known to live through a fork is taken not to."""
        (tmp_path / "mystery.c").write_text(self.SOURCE)
        library = tmp_path / "libmystery.so"
        command = ["gcc", "-shared", "-fPIC", "-pthread", "-o", library, tmp_path / "mystery.c"]
        subprocess.run(command, check=True)
        fresh = launch(options=RECOVER)
        found = save(fresh, f"import ctypes; ctypes.CDLL({str(library)!r}).begin(); n = 1")
        assert found["state"] == "movable"
        assert "libmystery.so" in found["why_not"]
        assert_left(fresh, crash(fresh), "n == 1")


class TestLibraries:
    def test_polars(self, launch):
        """G42: frames move although the library's threads do not."""
        pytest.importorskip("polars")
        fresh = launch(options=RECOVER)
        save(
            fresh,
            "import polars; frame = polars.DataFrame({'k': [1, 1, 2] * 9, 'v': range(27)})\n"
            "sums = frame.group_by('k').agg(polars.col('v').sum()); box = [frame]",
        )
        text = crash(fresh)
        assert "polars" in text
        assert_left(
            fresh,
            text,
            "box[0] is frame",
            "frame.group_by('k').agg(polars.col('v').sum()).sort('k').equals(sums.sort('k'))",
        )

    def test_duckdb(self, launch):
        """G42: a connection stays behind, by name; its results move."""
        pytest.importorskip("duckdb")
        fresh = launch(options=RECOVER)
        save(
            fresh,
            "import duckdb; con = duckdb.connect()\n"
            "rows = con.execute('select sum(range) from range(1000000)').fetchall()",
        )
        text = crash(fresh)
        assert "Not moved: con (cannot pickle 'DuckDBPyConnection' object)" in text
        assert_left(fresh, text, "rows == [(499999500000,)]")


BAD = """
import os, time
class Bad:
    def __reduce__(self):
        {}
kept = [1]; box = [kept]
bad = Bad()
around = [bad]
after = [kept]
"""


class TestAValueThatIsDangerous:
    @pytest.mark.parametrize(
        ("what", "why"),
        [
            ("time.sleep(600)", "serializing it came to a standstill"),
            ("while True: pass", "serializing it came to a standstill"),
            ("os.kill(os.getpid(), 11)", "serializing it ended the process that did it"),
            ("raise SystemExit('enough')", "SystemExit: enough"),
            ("return len, (3,)", "TypeError: object of type 'int' has no len()"),
            ("return time.sleep, (600,)", "the fresh interpreter came to a standstill"),
            ("return os._exit, (3,)", "the fresh interpreter died of it"),
            ("return os.abort, ()", "the fresh interpreter died of it"),
            ("return os.closerange, (3, 500)", "the fresh interpreter died of it"),
        ],
    )
    def test_costs_itself_and_what_contains_it(self, unsafe, what, why):
        """G42: hang, crash or error, on either side; everything else is moved."""
        save(unsafe, BAD.format(what))
        text = crash(unsafe)
        assert f"bad ({why})" in text
        assert "around (it contains bad)" in text
        assert_left(
            unsafe,
            text,
            "box[0] is kept and after[0] is kept",
            "'bad' not in globals() and 'around' not in globals()",
        )

    def test_a_file_is_not_turned_into_text(self, unsafe, tmp_path):
        """G42: nothing is moved as something that it was not."""
        (tmp_path / "text").write_text("abc")
        save(
            unsafe,
            f"file = open({str(tmp_path / 'text')!r}); data = file.read(1)\n"
            "view = memoryview(b'abc')",
        )
        text = crash(unsafe)
        assert "an open file" in text
        assert "a view of somebody else's memory" in text
        assert_left(unsafe, text, "data == 'a'", "'file' not in globals()")

    def test_a_circle_moves_as_one(self, unsafe):
        """G42: values that contain each other, beside one that cannot be moved at all."""
        save(unsafe, "import os\nclass Exit:\n    def __reduce__(self): return os._exit, (3,)\n"
                     "a = []; b = [a]; a.append(b); c = [a]; bad = Exit()")  # fmt: skip
        text = crash(unsafe)
        assert "bad (the fresh interpreter died of it)" in text
        assert_left(unsafe, text, "a[0] is b and b[0] is a and c[0] is a")

    def test_nothing_at_all(self, unsafe):
        """G42: a fresh start, and why."""
        save(unsafe, "g = (i for i in [1])")
        text = crash(unsafe)
        assert "Its variables are gone." in text
        assert "Not moved: g (cannot pickle 'generator' object)." in text
        assert value(unsafe, "'g' in globals()") == "False"

    def test_a_name_of_many(self, unsafe):
        """G42: of hundreds, the report names the first and counts the others."""
        save(unsafe, "globals().update({f'name_{i}': i for i in range(300)})")
        text = crash(unsafe)
        assert "300 variables were moved" in text
        assert "and 240 more." in text
        assert value(unsafe, "name_299") == "299"


class TestADonor:
    """Of which nothing can be believed: user code has run in it (G26)."""

    @pytest.mark.parametrize(
        ("does", "why"),
        [
            ("os._exit(3)", "died while they were serialized"),
            ("os.kill(os.getpid(), 9)", "died while they were serialized"),
            ("raise ValueError", "said something that cannot be"),
            (
                "parking.send(self._end, parking.Unable('no', 1)); time.sleep(600)",
                "said something that cannot be",
            ),
            (
                "parking.send(self._end, parking.Donated(True)); time.sleep(600)",
                "said something that cannot be",
            ),
            (
                "parking.send(self._end, parking.Donated(True), (0,)); time.sleep(600)",
                "a fresh interpreter was not ready for them",
            ),
        ],
    )
    def test_that_does_something_else_costs_the_variables_alone(self, unsafe, does, why):
        """G26, G42: a fresh start, and why."""
        save(
            unsafe,
            "import os, time\nfrom bulkhead_kernel.shared import parking\n"
            "from bulkhead_kernel.worker.recovery.donor import Donor\n"
            f"def serve(self, message):\n    {does}\nDonor.serve = serve",
        )
        text = crash(unsafe)
        assert "Its variables are gone." in text
        assert why in text
        assert value(unsafe, "'serve' in globals()") == "False"


class TestMeanwhile:
    """Somebody wants something while a value is serialized, or made again, which takes for ever."""

    @pytest.fixture(params=["donor", "heir"])
    def at_work(self, request, launch, tmp_path):
        """A kernel that is at it, by the test's leave; and the cell that has crashed."""
        frontend = self.start(launch)
        gate = Gate(tmp_path)
        what = f"{gate.wait}" if request.param == "donor" else f"return eval, ({gate.wait!r},)"
        save(frontend, f"n = 1\nclass Slow:\n    def __reduce__(self): {what}\nslow = Slow()")
        parent = frontend.execute(SEGFAULT)
        frontend.recv_begin(parent)
        with gate.meet():
            yield frontend, parent

    def start(self, launch):
        return unsafe_kernel(launch)

    def test_the_control_channel_answers(self, at_work):
        """G12: in this state, too."""
        frontend, parent = at_work
        for _ in range(20):
            frontend.request("kernel_info_request", channel="control")
            frontend.beat()
        frontend.recv_crash(parent, "KernelSegfault")
        assert value(frontend, "n") == "1"

    def test_an_interrupt_ends_it(self, at_work):
        """G12, G27: the request that it acts on is the one that crashed."""
        frontend, parent = at_work
        asked = frontend.interrupt()
        messages = [frontend.recv("iopub") for _ in range(3)]
        # Busy and idle of the interrupt itself come before the crash is told, as they happened.
        assert [m.entry for m in messages[:2]] == [("status", "busy"), ("status", "idle")]
        assert messages[2].entry == ("error", "KernelSegfault")
        text = " ".join(" ".join(messages[2].content["traceback"]).split())
        assert "moving them to a fresh interpreter was interrupted" in text
        frontend.recv_idle(parent)
        frontend.recv_reply(parent, "error")
        assert frontend.recv("control", "interrupt_reply", asked).content == {"status": "ok"}
        assert value(frontend, "'n' in globals()") == "False"

    def test_a_shutdown_is_a_shutdown(self, at_work):
        """G31: nobody waits for what nobody wants any more."""
        frontend, parent = at_work
        began = time.monotonic()
        asked = frontend.send("control", "shutdown_request", {"restart": False})
        frontend.recv_crash(parent, "KernelSegfault")
        frontend.recv_shutdown(asked)
        assert time.monotonic() - began < 5
        frontend.end()

    def test_the_end_of_the_supervisor_ends_all(self, at_work):
        """G32: donor, helper and heir go with it."""
        frontend, _ = at_work
        os.kill(frontend.kernel.pid, 9)
        frontend.kernel.wait()
        frontend.kernel.assert_gone()
        frontend.give_up()


class TestARestartMeanwhile(TestMeanwhile):
    """The same with a kernel that is restarted in place."""

    def start(self, launch):
        self.kept = Kept(launch, options=RECOVER)
        self.kept.frontend.run(UNSAFE)
        return self.kept.frontend

    def test_a_restart_begins_anew(self, at_work):
        """G31: at once, and with nothing of what was before."""
        frontend, parent = at_work
        asked = self.kept.restart()
        frontend.recv_crash(parent, "KernelSegfault")
        frontend.recv_shutdown(asked, restart=True)
        self.kept.assert_restarted()
        assert value(frontend, "'n' in globals()") == "False"
        self.kept.ours.close()

    test_the_control_channel_answers = None
    test_an_interrupt_ends_it = None
    test_a_shutdown_is_a_shutdown = None
    test_the_end_of_the_supervisor_ends_all = None


class TestTheProcesses:
    @pytest.mark.timeout(300)
    def test_many_crashes_leave_nothing_behind(self, unsafe):
        """G41: no process, descriptor or thread more after 50 of them."""
        supervisor = psutil.Process(unsafe.kernel.pid)
        (zygote,) = supervisor.children()

        def count():
            save(unsafe, UNSAFE)
            each = supervisor, zygote
            return [p.num_fds() for p in each] + [p.num_threads() for p in each], len(
                supervisor.children(recursive=True)
            )

        for i in range(50):
            save(unsafe, f"{UNSAFE}; n = {i}; g = (i for i in [1])")
            text = crash(unsafe)
            assert "1 variable was moved" in text
            assert value(unsafe, "n") == str(i)
            if i == 1:
                before = count()
        assert count() == before

    def test_a_child_of_a_value_s_own_goes_with_the_donor(self, unsafe):
        """G31: what serializing has started is ended with what serialized."""
        save(
            unsafe,
            "import subprocess\nclass Parent:\n    def __reduce__(self):\n"
            "        subprocess.Popen(['sleep', '600'])\n        return list, ()\np = Parent()",
        )
        text = crash(unsafe)
        assert_left(unsafe, text, "p == []")
        family = psutil.Process(unsafe.kernel.pid).children(recursive=True)
        assert [p.name() for p in family if p.name() == "sleep"] == []
