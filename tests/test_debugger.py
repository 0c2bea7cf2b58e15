"""Debugging over the real kernel, as a frontend's panel does it: debugpy in the worker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from debugging import INITIALIZE, Panel
from frontend import UNWARNED, Gate

pytest.importorskip("debugpy")

CODE = """def f(a, b):
    c = a + b
    return c

f(2, 3)"""

FRAME = """class Table:
    def __init__(self, rows):
        self.rows = rows
    def __repr__(self):
        return f"{self.rows} rows"
    def _repr_html_(self):
        return f"<table>{self.rows}</table>"
"""


@pytest.fixture
def panel(frontend):
    """A session, ended after the test; the kernel and its worker are the module's."""
    panel = Panel(frontend).start()
    yield panel
    panel.end()


class TestAdvertised:
    def test_kernel_info_says_so(self, frontend):
        """Clients look at supported_features, older ones at debugger."""
        info = frontend.request("kernel_info_request")
        assert "debugger" in info["supported_features"]
        assert info["debugger"] is True

    def test_nothing_is_loaded_before_somebody_debugs(self, fresh):
        """One thread, no debugpy: debugInfo, dumpCell and inspection change nothing of that."""
        panel = Panel(fresh)
        path = panel.dump(CODE)
        assert Path(path).read_text() == CODE
        assert panel.ask("inspectVariables") == {"variables": []}
        look = "import sys, threading; ('debugpy' in sys.modules, threading.active_count())"
        assert fresh.run(look) == [("result", "(False, 1)")]
        assert "File <ipython" not in str(fresh.run("1 / 0", "error"))

    def test_the_folder_of_cells_is_private_and_goes_with_the_kernel(self, launch):
        """Others cannot put a file there, and nothing stays."""
        fresh = launch()
        folder = Path(Panel(fresh).dump(CODE)).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        fresh.finish_kernel()
        assert not folder.exists()

    @pytest.mark.parametrize(
        ("debugpy", "told"),
        [
            ("None", "pip install debugpy"),
            ("types.SimpleNamespace(__version__='1.8.0')", "1.8.21 is the oldest that does"),
        ],
    )
    def test_without_a_good_debugpy_initialize_says_what_to_install(self, launch, debugpy, told):
        """A refusal in words, and a kernel that runs on; it can be tried again."""
        fresh = launch()
        assert fresh.run(f"import sys, types; sys.modules['debugpy'] = {debugpy}") == []
        panel = Panel(fresh)
        assert told in panel.ask("initialize", success=False, **INITIALIZE)
        assert "initialize" in panel.ask("attach", success=False)
        assert fresh.run("del sys.modules['debugpy']") == []
        panel.start().end()


class TestBreakpoints:
    def test_a_cell_stops_and_shows_its_stack_and_variables(self, panel):
        """The stack is the cell's: nothing of what runs it is in it."""
        path = panel.break_at(CODE, 2)
        cell = panel.run(CODE)
        frames = panel.stopped()
        assert [(frame["name"], frame["line"]) for frame in frames] == [("f", 2), ("<module>", 5)]
        assert {frame["source"]["path"] for frame in frames} == {path}
        found = panel.scope(frames[0], "Locals")
        assert {name: (v["value"], v["type"]) for name, v in found.items()} == {
            "a": ("2", "int"), "b": ("3", "int"),
        }  # fmt: skip
        panel.go()
        assert panel.finish(cell)[0] == [("result", "5")]

    def test_lines_are_counted_from_the_top_of_the_cell(self, panel):
        """Also where the first ones are empty, which IPython takes off otherwise."""
        code = "\n\n" + CODE
        panel.break_at(code, 4)
        cell = panel.run(code)
        assert panel.stopped()[0]["line"] == 4
        panel.go()
        panel.finish(cell)

    def test_steps(self, panel):
        """Over, in, out, and on."""
        code = "def g(x):\n    return x + 1\n\nfirst = g(1)\nsecond = g(2)\nthird = 3"
        panel.break_at(code, 4)
        cell = panel.run(code)
        assert panel.stopped()[0]["line"] == 4
        panel.go("stepIn")
        panel.stopped("step")
        assert panel.where() == [("g", 2), ("<module>", 4)]
        panel.go("stepOut")
        panel.stopped("step")
        panel.go("next")
        panel.stopped("step")
        assert panel.where() == [("<module>", 5)]
        panel.go("next")
        panel.stopped("step")
        assert panel.where() == [("<module>", 6)]
        panel.go("next")  # from the last line: the cell is over, and no step leads on
        assert panel.finish(cell)[0] == []

    def test_conditions_and_counts(self, panel):
        """They are debugpy's, and passed on whole."""
        code = "total = 0\nfor i in range(10):\n    total += i\ntotal"
        panel.break_at(code, 3, condition="i == 7")
        cell = panel.run(code)
        frame = panel.stopped()[0]
        answer = panel.ask("evaluate", expression="(i, total)", frameId=frame["id"])
        assert answer["result"] == "(7, 21)"
        panel.go()
        assert panel.finish(cell)[0] == [("result", "45")]

    def test_what_earlier_cells_defined_stops_too(self, launch):
        """Cells that ran before anybody debugged are renamed when somebody does."""
        fresh = launch()
        define = "\n\ndef f(a):\n    def inner(b):\n        return b * 2\n    return inner(a)"
        assert fresh.run(define) == []
        assert fresh.run("def broken():\n    return 1 / 0") == []
        panel = Panel(fresh).start()
        panel.break_at(define, 5)
        cell = panel.run("f(21)")
        panel.stopped()
        assert panel.where() == [("inner", 5), ("f", 6), ("<module>", 1)]
        panel.go()
        assert panel.finish(cell)[0] == [("result", "42")]
        # Tracebacks still say which cell it was, and show the line.
        text = "\n".join(fresh.run("broken()", "error").reply["traceback"])
        assert "In[\x1b[32m2" in text or "In[2]" in text
        assert "/bulkhead-" not in text
        panel.end()

    def test_output_before_a_stop_is_published_before_it(self, panel):
        """What was printed is there to be read while the cell is stopped."""
        code = "print('before')\nx = 1\nprint('after')"
        panel.break_at(code, 2)
        cell = panel.run(code)
        panel.frontend.recv_stream("stdout", "before\n", cell)
        panel.stopped()
        panel.go()
        assert panel.finish(cell)[0] == [("stdout", "after\n")]

    def test_exceptions(self, panel):
        """Raised ones stop where they are raised; what was set is sent anew after a restart."""
        panel.ask("setExceptionBreakpoints", filters=["raised"])
        cell = panel.run("def bad():\n    raise KeyError('here')\nbad()")
        frames = panel.stopped("exception")
        assert frames[0]["line"] == 2
        assert panel.ask("exceptionInfo", threadId=1)["exceptionId"].endswith("KeyError")
        panel.ask("setExceptionBreakpoints", filters=[])
        panel.go()
        shown, _ = panel.finish(cell, "error")
        assert shown == [("error", "KeyError")]

    def test_breakpoints_that_are_taken_away_do_not_stop(self, panel):
        """An empty list is none, and debugInfo knows none."""
        path = panel.break_at(CODE, 2)
        panel.set_breakpoints(path, [])
        assert panel.ask("debugInfo")["breakpoints"] == []
        cell = panel.run(CODE)
        assert panel.finish(cell, goes_on=False)[0] == [("result", "5")]

    def test_what_is_awaited_stops_too(self, panel):
        """A cell's coroutine, and a task that it has started."""
        code = "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 7\nawait f()"
        panel.break_at(code, 4)
        cell = panel.run(code)
        assert panel.stopped()[0]["name"] == "f"
        panel.go()
        assert panel.finish(cell)[0] == [("result", "7")]

    def test_a_child_that_a_cell_forks_runs_through(self, panel):
        """G38: nobody could let it go on."""
        panel.cell(UNWARNED)
        code = "import os\npid = os.fork()\nx = 1\nif not pid: os._exit(7)\nos.waitpid(pid, 0)[1]"
        panel.break_at(code, 3)
        cell = panel.run(code)
        panel.stopped()
        panel.go()
        assert panel.finish(cell)[0] == [("result", str(7 << 8))]


class TestLooking:
    def test_variables_without_a_stop(self, panel):
        """The user's own, with their parts, and no name of IPython's."""
        panel.cell(FRAME + "x = {'k': [1, 2]}\nt = Table(3)")
        variables = panel.ask("inspectVariables")["variables"]
        found = {variable["name"]: variable for variable in variables}
        assert {"x", "t", "Table"} <= set(found)
        assert not {"In", "Out", "get_ipython", "exit", "_", "_i1"} & set(found)
        assert (found["t"]["value"], found["t"]["type"]) == ("3 rows", "Table")
        (key,) = panel.ask("variables", variablesReference=found["x"]["variablesReference"])[
            "variables"
        ]
        assert (key["name"], key["value"], key["evaluateName"]) == ("'k'", "[1, 2]", "x['k']")
        items = panel.ask("variables", variablesReference=key["variablesReference"])["variables"]
        assert [(item["name"], item["value"]) for item in items] == [("0", "1"), ("1", "2")]
        (rows,) = panel.ask("variables", variablesReference=found["t"]["variablesReference"])[
            "variables"
        ]
        assert (rows["name"], rows["value"]) == ("rows", "3")

    def test_rich_variables(self, panel):
        """As a cell shows them: of the notebook, and of a frame that is stopped."""
        panel.cell(FRAME + "t = Table(3)")
        shown = {"text/plain": "3 rows", "text/html": "<table>3</table>"}
        assert panel.ask("richInspectVariables", variableName="t")["data"] == shown
        code = "def f():\n    u = Table(4)\n    return u.rows\nf()"
        panel.break_at(code, 3)
        cell = panel.run(code)
        frame = panel.stopped()[0]
        look = {"variableName": "u", "frameId": frame["id"]}
        assert panel.ask("richInspectVariables", **look) == {
            "data": {"text/plain": "4 rows", "text/html": "<table>4</table>"}, "metadata": {},
        }  # fmt: skip
        why = panel.ask("richInspectVariables", variableName="nowhere", success=False)
        assert "nowhere" in why
        panel.go()
        panel.finish(cell)

    def test_evaluate_with_and_without_a_frame(self, panel):
        """Without one it is the debugger's own; what a frame has can be changed."""
        assert panel.ask("evaluate", expression="'a' + 'b'", context="repl")["result"] == "ab"
        panel.break_at(CODE, 3)
        cell = panel.run(CODE)
        frame = panel.stopped()[0]
        panel.ask("setExpression", expression="c", value="c * 100", frameId=frame["id"])
        panel.go()
        assert panel.finish(cell)[0] == [("result", "500")]

    def test_copy_to_globals(self, panel):
        """The notebook has the variable then; names that are none are refused."""
        panel.break_at(CODE, 3)
        cell = panel.run(CODE)
        frame = panel.stopped()[0]
        names = {"srcVariableName": "c", "dstVariableName": "kept", "srcFrameId": frame["id"]}
        panel.ask("copyToGlobals", answered_as="setExpression", **names)
        bad = names | {"dstVariableName": "x'] or globals()['y"}
        assert "names" in panel.ask("copyToGlobals", success=False, **bad)
        panel.go()
        panel.finish(cell)
        assert panel.cell("kept") == [("result", "5")]
        assert "stopped" in panel.ask("copyToGlobals", success=False, **names)

    def test_modules(self, panel):
        """What is imported, with its file."""
        panel.cell("import colorsys")
        modules = panel.ask("modules")["modules"]
        (path,) = [module["path"] for module in modules if module["name"] == "colorsys"]
        assert path.endswith("colorsys.py")

    def test_source(self, panel, tmp_path):
        """The text of a cell, and of a file; a pipe that nobody writes into is refused at once."""
        path = panel.dump(CODE)
        assert panel.ask("source", source={"path": path}) == {"content": CODE}
        missing = panel.ask("source", source={"path": str(tmp_path / "none")}, success=False)
        assert "No such file" in missing
        os.mkfifo(tmp_path / "pipe")
        assert panel.ask("source", source={"path": str(tmp_path / "pipe")}, success=False)


class TestAnyTime:
    def test_debug_info_while_a_cell_runs(self, panel, tmp_path):
        """It is the supervisor's; also inspection needs no idle interpreter."""
        gate = Gate(tmp_path)
        cell = panel.run(f"mine = 5\nprint('set')\n{gate.wait}")
        panel.frontend.recv_stream("stdout", "set\n", cell)
        info = panel.ask("debugInfo")
        assert info["isStarted"] is True
        assert info["stoppedThreads"] == []
        assert "mine" in [v["name"] for v in panel.ask("inspectVariables")["variables"]]
        gate.open("word")
        assert panel.finish(cell, goes_on=False)[0] == [("result", "'word'")]

    def test_debug_info_while_stopped(self, panel):
        """Whoever reloads the page learns what is stopped, and where breakpoints are."""
        path = panel.break_at(CODE, 2)
        cell = panel.run(CODE)
        panel.stopped()
        info = panel.ask("debugInfo")
        assert info["stoppedThreads"] == [1]
        assert info["breakpoints"] == [{"source": path, "breakpoints": [{"line": 2}]}]
        assert info["hashMethod"] == "Murmur2"
        assert f"{info['tmpFilePrefix']}{Path(path).stem}{info['tmpFileSuffix']}" == path
        panel.go()
        panel.finish(cell)
        assert panel.ask("debugInfo")["stoppedThreads"] == []

    def test_requests_in_quick_succession(self, panel):
        """Each has its own answer and its own pair of busy and idle."""
        panel.break_at(CODE, 2)
        cell = panel.run(CODE)
        panel.stopped()
        sent = [panel.send("stackTrace", threadId=1) for _ in range(20)]
        for each in sent:
            assert panel.recv(each, "stackTrace")["totalFrames"] == 2
        panel.go()
        panel.finish(cell)

    def test_initialize_waits_for_the_running_cell(self, launch, tmp_path):
        """debugpy is loaded by the main thread; what is asked after it waits for it in order."""
        fresh, gate = launch(), Gate(tmp_path)
        cell = fresh.execute(gate.wait)
        fresh.recv_begin(cell)
        panel = Panel(fresh)
        first, second = panel.send("initialize", **INITIALIZE), panel.send("attach")
        assert panel.ask("debugInfo")["isStarted"] is False
        gate.open("word")
        fresh.recv_result(cell, "'word'")
        fresh.recv_idle(cell)
        fresh.recv_reply(cell)
        panel.recv(first, "initialize")
        panel.recv(second, "attach")
        assert panel.ask("debugInfo")["isStarted"] is True
        panel.end()

    @pytest.mark.parametrize("command", ["loadedSources", "nonsense", "restart"])
    def test_unknown_commands_are_refused(self, panel, command):
        """debugpy would leave some of them without an answer."""
        assert command in panel.ask(command, success=False)

    def test_malformed_requests_are_refused(self, panel):
        """In words, and nothing is the worse for it."""
        assert "source" in panel.ask("setBreakpoints", breakpoints=[], success=False)
        assert "breakpoints" in panel.ask("setBreakpoints", breakpoints=[3], success=False)
        assert "code" in panel.ask("dumpCell", success=False)
        frontend = panel.frontend
        for content in ({}, {"command": 3}, {"command": "next", "arguments": []}):
            sent = frontend.send("control", "debug_request", content)
            assert frontend.recv("control", "debug_reply", sent).content["success"] is False
            panel.skip_to(("status", "busy"), sent)
            panel.skip_to(("status", "idle"), sent)

    def test_without_a_session_requests_are_refused(self, frontend):
        """Whoever missed the end is told how to go on."""
        panel = Panel(frontend)
        assert "initialize" in panel.ask("stackTrace", threadId=1, success=False)
        panel.ask("disconnect")


class TestInterrupt:
    def test_an_interrupt_at_a_breakpoint_ends_the_cell_there(self, panel):
        """Nothing after the breakpoint runs, the traceback is the cell's; the next cell stops."""
        code = "x = 'before'\nx = 'after'"
        path = panel.break_at(code, 2)
        cell = panel.run(code)
        panel.stopped()
        panel.interrupt()
        shown, reply = panel.finish(cell, "error")
        assert shown == [("error", "KeyboardInterrupt")]
        assert "pydevd" not in str(reply["traceback"])
        assert "threading.py" not in str(reply["traceback"])
        assert panel.ask("debugInfo")["stoppedThreads"] == []
        assert panel.cell("x") == [("result", "'before'")]
        cell = panel.run(code)
        assert panel.stopped()[0]["source"]["path"] == path
        panel.go()
        panel.finish(cell)

    def test_an_interrupt_of_a_running_cell_is_as_ever(self, panel):
        """G29: tracing does not get in its way."""
        cell = panel.run("while True: pass")
        panel.interrupt()
        assert panel.finish(cell, "error", goes_on=False)[0] == [("error", "KeyboardInterrupt")]


class TestEnds:
    def test_nothing_of_a_session_comes_after_its_end(self, panel):
        """G1: what the debugger said before it answered is published before the answer."""
        for _ in range(20):
            panel.ask("disconnect")
            panel.ask("initialize", **INITIALIZE)
            attach, disconnect = panel.send("attach"), panel.send("disconnect")
            panel.recv(attach, "attach")
            panel.recv(disconnect, "disconnect")
            panel.frontend.settle()
        panel.start()

    def test_a_session_can_be_ended_and_begun_again(self, frontend):
        """Disconnect lets go on what is stopped, and forgets breakpoints; another can begin."""
        panel = Panel(frontend).start()
        panel.break_at(CODE, 2)
        cell = panel.run(CODE)
        panel.stopped()
        sent = panel.send("disconnect", terminateDebuggee=True)
        panel.recv(sent, "disconnect", at_once=False)
        assert panel.finish(cell)[0] == [("result", "5")]
        info = panel.ask("debugInfo")
        assert (info["isStarted"], info["breakpoints"], info["stoppedThreads"]) == (False, [], [])
        assert frontend.run(CODE) == [("result", "5")]
        panel = Panel(frontend).start()
        panel.break_at(CODE, 2)
        cell = panel.run(CODE)
        panel.stopped()
        panel.go()
        panel.finish(cell)
        panel.end()

    def test_breakpoints_survive_a_crash(self, launch):
        """The session ends with its worker, which is told; the next session has the breakpoints."""
        fresh = launch()
        pid = fresh.worker_pid()
        panel = Panel(fresh).start()
        path = panel.break_at(CODE, 2)
        panel.ask("setExceptionBreakpoints", filters=["raised"])
        cell = panel.run(CODE)
        frame = panel.stopped()[0]["id"]
        sleep = "__import__('time').sleep(99)"
        pending = panel.send("evaluate", expression=sleep, frameId=frame)
        panel.ask("debugInfo")
        os.kill(pid, signal.SIGKILL)
        # The answer of what was pending, the event, and the cell's own end: each on its way.
        response = fresh.recv("control", "debug_reply", pending[0]).content
        assert response["success"] is False
        assert "Start the debugger again" in response["message"]
        seen = []
        while len(seen) < 5:
            message = fresh.recv("iopub")
            seen.append((message.entry[0], message.parent_id))
        assert sorted(seen, key=str) == sorted(
            [("debug_event", None), ("status", pending[0]), ("status", pending[0]),
             ("error", cell), ("status", cell)], key=str,
        )  # fmt: skip
        assert fresh.recv_reply(cell, "error")["ename"] == "KernelKilled"
        info = panel.ask("debugInfo")
        assert info["isStarted"] is False
        assert info["breakpoints"] == [{"source": path, "breakpoints": [{"line": 2}]}]
        assert info["stoppedThreads"] == []
        assert "kept" in panel.ask("stackTrace", threadId=1, success=False)
        panel = Panel(fresh).start()
        cell = panel.run(CODE)
        assert panel.stopped()[0]["line"] == 2
        panel.go()
        assert panel.finish(cell)[0] == [("result", "5")]
        cell = panel.run("1 / 0")
        panel.stopped("exception")
        panel.go()
        panel.finish(cell, "error")
        panel.end()

    def test_a_crash_while_debugging_is_told_with_its_line(self, launch):
        """The report finds the cell under its other name."""
        fresh = launch()
        panel = Panel(fresh).start()
        code = "import ctypes\nx = 1\nctypes.string_at(0)"
        cell = fresh.execute(code)
        panel.skip_to(("status", "busy"), cell)
        panel.skip_to(("input", code), cell)
        message = None
        while message is None or message.entry != ("status", "idle"):
            message = fresh.recv("iopub")
            if message.type == "error":
                text = "\n".join(message.content["traceback"])
        assert "In line 3 of the cell" in text
        assert "Cell In[1], line 3" in text
        fresh.recv_reply(cell, "error")
        panel.events.clear()

    def test_a_shutdown_while_stopped(self, launch):
        """G31: all is answered, and nothing is left."""
        fresh = launch()
        panel = Panel(fresh).start()
        panel.break_at(CODE, 2)
        cell = panel.run(CODE)
        panel.stopped()
        parent = fresh.send("control", "shutdown_request", {"restart": False})
        assert fresh.recv_reply(cell, "error")["ename"] in ("KeyboardInterrupt", "KernelStopped")
        message = fresh.recv("iopub")
        while (message.parent_id, message.entry) != (parent, ("status", "idle")):
            message = fresh.recv("iopub")
        assert fresh.recv("control", "shutdown_reply", parent).content["status"] == "ok"
        fresh.end()

    def test_exit_while_debugging(self, launch):
        """debugpy's threads do not keep a worker whose user has left."""
        fresh = launch()
        panel = Panel(fresh).start()
        panel.end()
        cell = fresh.execute("exit()")
        panel.skip_to(("status", "busy"), cell)
        panel.skip_to(("input", "exit()"), cell)
        panel.skip_to(("status", "idle"), cell)
        fresh.recv_reply(cell)
        assert fresh.run("1") == [("result", "1")]
