"""Subshells: what clients see of threads that serve their requests beside the main shell (JEP 91).

A gate holds the main shell's cell where a test wants it, so that what happens meanwhile in a
subshell happens meanwhile. Where both really run at once, what each of them said is looked at by
itself: between the two there is no order to keep.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys

import psutil
import pytest
from frontend import UNWARNED, Gate, merged

SETUP = "import asyncio, os, signal, sys, threading, time"


def create(frontend):
    """Have a subshell; give its id."""
    return frontend.request("create_subshell_request", channel="control")["subshell_id"]


def delete(frontend, subshell, status="ok"):
    content = {"subshell_id": subshell}
    return frontend.request("delete_subshell_request", content, status, channel="control")


def listed(frontend):
    return frontend.request("list_subshell_request", channel="control")["subshell_id"]


def execute(frontend, subshell, code, **options):
    """Send a cell to a subshell; give its msg_id."""
    content = {"code": code, "silent": False, "allow_stdin": False} | options
    return frontend.send("shell", "execute_request", content, header={"subshell_id": subshell})


def run(frontend, subshell, code, status="ok", **options):
    """Run a cell in a subshell while nothing else is said; give its transcript."""
    return frontend.finish(execute(frontend, subshell, code, **options), status)


def interrupt(frontend, subshell=None):
    """Interrupt, and receive the answer; what is interrupted ends amid it or after it."""
    header = {"subshell_id": subshell}
    return frontend.send("control", "interrupt_request", header=header)


def told(frontend, *parents):
    """Receive until all of these are idle and have their replies; give what each one said."""
    said = {parent: [] for parent in parents}
    left = set(parents)
    while left:
        message = frontend.recv("iopub")
        said[message.parent_id].append(message)
        if message.entry == ("status", "idle"):
            left.discard(message.parent_id)
    replies = {}
    for _ in parents:
        message = frontend.recv("shell", None)
        replies[message.parent_id] = message.content
    entries = {parent: merged(message.entry for message in said[parent]) for parent in parents}
    for parent in parents:
        assert entries[parent][0] == ("status", "busy")
        assert entries[parent][-1] == ("status", "idle")
        assert [kind for kind, _ in entries[parent]].count("status") == 2
    return {parent: entries[parent][1:-1] for parent in parents}, replies


@pytest.fixture
def gate(tmp_path):
    return Gate(tmp_path)


@pytest.fixture
def sub(frontend):
    """A subshell of the module's kernel, which is gone again after the test."""
    frontend.run(SETUP)
    subshell = create(frontend)
    yield subshell
    if subshell in listed(frontend):
        delete(frontend, subshell)


def worker_threads(frontend):
    return psutil.Process(frontend.worker_pid()).num_threads()


class TestLife:
    def test_are_made_listed_and_deleted(self, frontend):
        """G12: what clients ask about subshells is answered on the control channel."""
        assert listed(frontend) == []
        first, second = create(frontend), create(frontend)
        assert first != second
        assert listed(frontend) == [first, second]
        assert set(delete(frontend, first)) == {"status"}
        assert listed(frontend) == [second]
        delete(frontend, second)
        assert listed(frontend) == []

    def test_are_advertised(self, frontend):
        """Clients look at supported_features before they make any."""
        info = frontend.request("kernel_info_request")
        assert "kernel subshells" in info["supported_features"]

    def test_a_worker_without_any_has_one_thread(self, frontend):
        """G37: threads are there from a subshell's making to its deletion, and not besides."""
        assert worker_threads(frontend) == 1
        subshells = [create(frontend) for _ in range(3)]
        assert worker_threads(frontend) == 4
        for subshell in subshells:
            run(frontend, subshell, "1")
            delete(frontend, subshell)
        assert worker_threads(frontend) == 1

    def test_the_reply_tells_that_the_thread_is_there_or_gone(self, frontend):
        """G12: the next cell finds as many threads as there are subshells, twenty times."""
        frontend.run(SETUP)
        for _ in range(20):
            subshell = create(frontend)
            assert frontend.run("threading.active_count()") == [("result", "2")]
            delete(frontend, subshell)
            assert frontend.run("threading.active_count()") == [("result", "1")]

    def test_is_a_thread_of_its_own_with_the_same_names(self, frontend, sub):
        """One namespace, two threads."""
        run(frontend, sub, "here = threading.get_ident()")
        assert frontend.run("here == threading.get_ident()") == [("result", "False")]
        assert run(frontend, sub, "here == threading.get_ident()") == [("result", "True")]

    def test_is_made_while_a_cell_runs(self, frontend, gate):
        """G12: made, used and deleted while the main shell is busy."""
        parent = frontend.hold(gate)
        subshell = create(frontend)
        assert run(frontend, subshell, "6 * 7") == [("result", "42")]
        delete(frontend, subshell)
        gate.open()
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)

    def test_deleted_while_it_runs_ends_what_it_was_given(self, frontend, gate):
        """G9: the reply comes at once; what was sent before is still run, in order."""
        frontend.run(SETUP)
        subshell = create(frontend)
        first = execute(frontend, subshell, f"print('held')\n{gate.wait};")
        frontend.recv_begin(first)
        frontend.recv_stream("stdout", "held\n", first)
        second = execute(frontend, subshell, "print('second')")
        frontend.arrived()
        delete(frontend, subshell)
        assert listed(frontend) == []
        refused = execute(frontend, subshell, "1")
        frontend.recv_busy(refused)
        frontend.recv_idle(refused)
        assert frontend.recv("shell", "execute_reply", refused).content["status"] == "error"
        gate.open()
        frontend.recv_idle(first)
        frontend.recv_reply(first)
        assert frontend.finish(second) == [("stdout", "second\n")]

    def test_tasks_end_with_it(self, frontend, sub):
        """A task goes on between cells of its subshell, and is cancelled when that is deleted."""
        code = (
            "ticks = 0\nasync def tick():\n global ticks\n while True:\n"
            "  ticks += 1\n  await asyncio.sleep(0)\ntask = asyncio.ensure_future(tick())"
        )
        run(frontend, sub, code)
        frontend.run("seen = ticks\nwhile ticks < seen + 10: time.sleep(0)")
        delete(frontend, sub)
        assert frontend.run("task.cancelled()") == [("result", "True")]


class TestBeginning:
    def test_a_signal_that_is_not_heard_is_sent_again(self, fresh, gate):
        """G3: a subshell begins although the main thread went to wait just before it could hear."""
        subshell = create(fresh)
        parent = fresh.execute(f"""
import signal
from bulkhead_kernel.shared.signals import LOOK_SIGNAL
look = signal.getsignal(LOOK_SIGNAL)
def lose(*_):
    signal.signal(LOOK_SIGNAL, look)
    print('lost')
signal.signal(LOOK_SIGNAL, lose)
print('held')
{gate.wait};""")
        fresh.recv_begin(parent)
        fresh.recv_stream("stdout", "held\n", parent)
        beside = execute(fresh, subshell, "2")
        fresh.recv_stream("stdout", "lost\n", parent)
        assert fresh.finish(beside) == [("result", "2")]
        gate.open()
        fresh.recv_idle(parent)
        fresh.recv_reply(parent)


class TestUnknown:
    def test_ids_get_an_error(self, frontend):
        """G9: busy, idle and an error reply; no cell is run."""
        for msg_type in ("execute_request", "complete_request", "history_request"):
            header = {"subshell_id": "nobody's"}
            reply = frontend.request(msg_type, {"code": "1"}, "error", header=header)
            assert reply["ename"] == "UnknownSubshellError"
            assert reply["evalue"] == 'Unknown subshell_id "nobody\'s"'
        for content in ({"subshell_id": "nobody's"}, {"subshell_id": 3}, {}, b"[]"):
            reply = frontend.request("delete_subshell_request", content, "error", "control")
            assert {"ename", "evalue"} <= set(reply)

    def test_ids_of_any_form_are_survived(self, frontend):
        """G9: an id is a string or null; anything else names no subshell."""
        for odd in (7, [], {"a": 1}, "", False):
            header = {"subshell_id": odd}
            reply = frontend.request("execute_request", {"code": "1"}, "error", header=header)
            assert reply["ename"] == "UnknownSubshellError"

    def test_ids_of_comm_messages_mean_the_main_shell(self, frontend):
        """G16: a comm message has no reply that could tell, so it is not lost."""
        frontend.run("from comm import create_comm\nc = create_comm(target_name='t')\n"
                     "got = []\nc.on_msg(lambda m: got.append(m['content']['data']))")  # fmt: skip
        (comm_id,) = frontend.request("comm_info_request")["comms"]
        content = {"comm_id": comm_id, "data": {"x": 1}}
        frontend.request("comm_msg", content, header={"subshell_id": "nobody's"})
        assert frontend.run("got") == [("result", "[{'x': 1}]")]
        frontend.run("c.close()")

    def test_what_the_supervisor_answers_needs_no_subshell(self, frontend):
        """G12: kernel_info is answered whoever is named."""
        frontend.request("kernel_info_request", header={"subshell_id": "nobody's"})


class TestOrder:
    def test_requests_of_one_subshell_are_taken_in_turn(self, frontend, sub, gate):
        """G3, G10: in order of arrival, one at a time, while the main shell's cell runs."""
        main = frontend.hold(gate)
        parents = [execute(frontend, sub, f"print({i})") for i in range(5)]
        for i, parent in enumerate(parents):
            assert frontend.finish(parent) == [("stdout", f"{i}\n")]
        behind = frontend.execute("'behind'")
        assert run(frontend, sub, "'still'") == [("result", "'still'")]
        gate.open()
        frontend.recv_idle(main)
        frontend.recv_reply(main)
        assert frontend.finish(behind) == [("result", "'behind'")]

    def test_what_runs_at_once_is_told_apart(self, frontend):
        """G1, G2, G4, G5: four shells at once; each cell's output is whole, in order, its own."""
        code = (
            "def say{0}():\n"
            " for i in range(40):\n"
            "  print({0}, i); print({0}, i, file=__import__('sys').stderr); display(({0}, i))\n"
            "say{0}() or {0}"
        )
        subshells = [None, *(create(frontend) for _ in range(3))]
        parents = {}
        for turn, (number, subshell) in itertools.product(range(5), enumerate(subshells)):
            parents[execute(frontend, subshell, code.format(number))] = turn, number
        said, replies = told(frontend, *parents)
        for parent, (_, number) in parents.items():
            expected = [
                entry
                for i in range(40)
                for entry in (
                    ("stdout", f"{number} {i}\n"),
                    ("stderr", f"{number} {i}\n"),
                    ("display", f"({number}, {i})"),
                )
            ]
            assert said[parent][1:] == [*expected, ("result", str(number))]
            assert replies[parent]["status"] == "ok"
        counts = [reply["execution_count"] for reply in replies.values()]
        assert len(set(counts)) == len(counts), "no two cells have the same number"
        for subshell in subshells[1:]:
            delete(frontend, subshell)

    def test_bytes_of_descriptor_1_stand_where_they_were_written(self, frontend, sub, gate):
        """G6: a subshell's alone, if the main shell is idle; else the main shell's."""
        code = "os.write(1, b'A'); print('B', end=''); os.write(1, b'C');"
        assert run(frontend, sub, code) == [("stdout", "ABC")]
        main = frontend.hold(gate)
        parent = execute(frontend, sub, code)
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "A", main)
        frontend.recv_stream("stdout", "B", parent)
        frontend.recv_stream("stdout", "C", main)
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)
        gate.open()
        frontend.recv_idle(main)
        frontend.recv_reply(main)

    def test_an_error_aborts_the_own_queue_only(self, frontend, sub, gate):
        """G11: what waits in another shell is run."""
        main = frontend.hold(gate)
        behind_main = frontend.execute("'main'")
        first = execute(frontend, sub, "print('held')\n1/0")
        second = execute(frontend, sub, "2")
        frontend.recv_begin(first)
        frontend.recv_stream("stdout", "held\n", first)
        frontend.recv_error(first, "ZeroDivisionError")
        frontend.recv_idle(first)
        frontend.recv_reply(first, "error")
        frontend.recv_aborted(second)
        assert run(frontend, sub, "3") == [("result", "3")]
        gate.open()
        frontend.recv_idle(main)
        frontend.recv_reply(main)
        assert frontend.finish(behind_main) == [("result", "'main'")]

    def test_threads_belong_to_the_cell_that_started_them(self, frontend, sub, gate):
        """G4: late output of a subshell's thread keeps its cell."""
        word = Gate(gate.path.parent)
        code = f"t = threading.Thread(target=lambda: print({word.wait})); t.start()"
        parent = execute(frontend, sub, code)
        assert frontend.finish(parent) == []
        main = frontend.hold(gate)
        word.open("late")
        frontend.recv_stream("stdout", "late\n", parent)
        gate.open()
        frontend.recv_idle(main)
        frontend.recv_reply(main)

    def test_other_requests_are_answered_while_a_cell_runs(self, frontend, sub, gate):
        """G3: completion, inspection and history, too, for whoever asks in a subshell."""
        frontend.run("abcdefgh = 1")
        main = frontend.hold(gate)
        header = {"subshell_id": sub}
        ask = {"code": "abcdef", "cursor_pos": 6}
        assert "abcdefgh" in frontend.request("complete_request", ask, header=header)["matches"]
        ask = {"code": "abcdefgh", "cursor_pos": 3}
        assert frontend.request("inspect_request", ask, header=header)["found"]
        ask = {"hist_access_type": "tail", "n": 1}
        history = frontend.request("history_request", ask, header=header)["history"]
        assert "held" in history[-1][2]
        frontend.request("is_complete_request", {"code": "1"}, header=header)
        gate.open()
        frontend.recv_idle(main)
        frontend.recv_reply(main)

    def test_big_requests_pass(self, frontend, sub, gate):
        """G9: more than a pipe holds, and buffers of megabytes."""
        main = frontend.hold(gate)
        text = "x" * 3_000_000
        assert run(frontend, sub, f"len('{text}')") == [("result", "3000000")]
        code = (
            "from comm import create_comm\nc = create_comm(target_name='t', comm_id='big')\n"
            "c.on_msg(lambda m: print(sum(map(len, m['buffers']))))"
        )
        run(frontend, sub, code)
        content, buffers = {"comm_id": "big", "data": {}}, [b"y" * 5_000_000] * 2
        header = {"subshell_id": sub}
        parent = frontend.send("shell", "comm_msg", content, header=header, buffers=buffers)
        frontend.recv_busy(parent)
        frontend.recv_stream("stdout", "10000000\n", parent)
        frontend.recv_idle(parent)
        run(frontend, sub, "c.close()")
        gate.open()
        frontend.recv_idle(main)
        frontend.recv_reply(main)

    def test_big_buffers_of_the_main_shell_pass_when_one_was_deleted(self, frontend):
        """G9: what hands buffers over to the main shell is nobody else's to close."""
        delete(frontend, create(frontend))
        code = (
            "from comm import create_comm\nc = create_comm(target_name='t', comm_id='big')\n"
            "c.on_msg(lambda m: print(sum(map(len, m['buffers']))))"
        )
        frontend.run(code)
        content, buffers = {"comm_id": "big", "data": {}}, [b"y" * 5_000_000] * 2
        parent = frontend.send("shell", "comm_msg", content, buffers=buffers)
        frontend.recv_busy(parent)
        frontend.recv_stream("stdout", "10000000\n", parent)
        frontend.recv_idle(parent)
        frontend.run("c.close()")


class TestCells:
    def test_share_numbers_and_history(self, frontend, sub, gate):
        """Each has its own number, at which In and Out have it."""
        main = frontend.hold(gate, "'main'")
        results = run(frontend, sub, "'sub'")
        number = results.reply["execution_count"]
        gate.open()
        frontend.recv_result(main, "'main'")
        frontend.recv_idle(main)
        count = frontend.recv_reply(main)["execution_count"]
        assert number == count + 1
        expected = f"In[{number}], Out[{number}], 'held' in In[{count}], Out[{count}]"
        assert frontend.run(expected) == [("result", "(\"'sub'\", 'sub', True, 'main')")]
        assert frontend.run("1").reply["execution_count"] == count + 3

    def test_silent_ones_take_no_number(self, frontend, sub):
        """A silent cell in a subshell leaves the count alone."""
        before = frontend.run("1").reply["execution_count"]
        parent = execute(frontend, sub, "x = 1", silent=True)
        frontend.recv_busy(parent)
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)
        assert frontend.run("x").reply["execution_count"] == before + 1

    def test_payloads_and_errors_are_their_own(self, frontend, sub, gate):
        """What a subshell's cell asks of its client is not in the reply of the main shell's."""
        main = frontend.hold(gate)
        reply = run(frontend, sub, "get_ipython().set_next_input('mine')").reply
        assert [one["source"] for one in reply["payload"]] == ["set_next_input"]
        error = run(frontend, sub, "1/0", "error")
        assert error == [("error", "ZeroDivisionError")]
        gate.open()
        frontend.recv_idle(main)
        assert frontend.recv_reply(main)["payload"] == []

    def test_await(self, frontend, sub, gate):
        """A subshell has an event loop of its own."""
        main = frontend.hold(gate)
        assert run(frontend, sub, "await asyncio.sleep(0, 'slept')") == [("result", "'slept'")]
        gate.open()
        frontend.recv_idle(main)
        frontend.recv_reply(main)

    def test_ask_for_input(self, frontend, sub):
        """G7: two prompts are open at once, and each cell gets the answer to its own."""
        parents, prompts = {}, {}
        for subshell in (None, sub):
            parent = execute(frontend, subshell, "input('?')", allow_stdin=True)
            frontend.recv_begin(parent)
            parents[subshell] = parent
            prompts[subshell] = frontend.recv("stdin", "input_request", parent)
        for subshell, word in ((None, "main"), (sub, "sub")):
            frontend.send_input(word, prompts[subshell])
            frontend.recv_result(parents[subshell], repr(word))
            frontend.recv_idle(parents[subshell])
            frontend.recv_reply(parents[subshell])

    def test_fork(self, frontend, sub):
        """G38: a child of a subshell's cell is no second worker."""
        assert run(frontend, sub, UNWARNED) == []
        code = "pid = os.fork()\nif pid: os.waitpid(pid, 0)\nos.write(1, b'p' if pid else b'c');"
        assert run(frontend, sub, code) == [("stdout", "cp")]
        assert run(frontend, sub, "1") == [("result", "1")]

    def test_can_leave(self, fresh):
        """exit() in a subshell ends the interpreter, and the next one serves the same subshell."""
        subshell = create(fresh)
        pid = fresh.worker_pid()
        run(fresh, subshell, "exit()")
        assert fresh.worker_pid() != pid
        assert run(fresh, subshell, "1") == [("result", "1")]


ENDLESS = {
    "a loop": "while True: pass",
    "an await": "await asyncio.sleep(1000)",
    "a loop of awaits": "while True: await asyncio.sleep(0)",
    "a print loop": "while True: print('x' * 100)",
    "a loop of writes": "while True: os.write(1, b'x' * 100)",
    "a display loop": "while True: display(1)",
    "short sleeps": "while True: time.sleep(0.001)",
}


def recv_interrupted(frontend, parent, request):
    """Receive the end of a cell that was interrupted, and the answer to the interrupt."""
    seen = []
    left = {parent, request}
    while left:
        message = frontend.recv("iopub")
        assert message.parent_id in (parent, request), message
        if message.entry == ("status", "idle"):
            left.discard(message.parent_id)
        elif message.parent_id == parent:
            seen.append(message.entry)
    assert seen[-1] == ("error", "KeyboardInterrupt")
    assert frontend.recv_reply(parent, "error")["ename"] == "KeyboardInterrupt"
    frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")
    return seen[:-1]


class TestInterrupts:
    @pytest.mark.parametrize("case", ENDLESS)
    def test_that_name_a_subshell_stop_its_request(self, frontend, sub, gate, case):
        """G27, G29: the one that is named, whatever it does; the main shell's cell goes on."""
        main = frontend.hold(gate)
        parent = execute(frontend, sub, f"print('begun')\n{ENDLESS[case]}")
        frontend.recv_begin(parent)
        message = frontend.recv("iopub", "stream", parent)
        assert message.content["text"].startswith("begun\n")
        request = interrupt(frontend, sub)
        left = {parent, request}
        seen = []
        while left:
            message = frontend.recv("iopub")
            if message.entry == ("status", "idle"):
                left.discard(message.parent_id)
            elif message.parent_id == parent:
                seen.append(message.entry)
            else:  # bytes on descriptor 1 are the main shell's
                assert message.parent_id in (main, request)
        assert seen[-1] == ("error", "KeyboardInterrupt")
        assert frontend.recv_reply(parent, "error")["ename"] == "KeyboardInterrupt"
        frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")
        assert run(frontend, sub, "1") == [("result", "1")]
        gate.open()
        frontend.recv_idle(main)
        frontend.recv_reply(main)

    def test_that_name_nobody_stop_the_main_shell_s(self, frontend, sub, gate):
        """G27: the main shell's cell is what people mean; a subshell's goes on."""
        parent = execute(frontend, sub, f"print('held')\n{gate.wait};")
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        main = frontend.execute("print('begun')\nwhile True: pass")
        frontend.recv_begin(main)
        frontend.recv_stream("stdout", "begun\n", main)
        recv_interrupted(frontend, main, interrupt(frontend))
        gate.open()
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)

    def test_stop_subshells_if_the_main_shell_is_idle(self, frontend, sub):
        """G27: then what runs is what was meant."""
        parent = execute(frontend, sub, "print('begun')\nwhile True: pass")
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "begun\n", parent)
        recv_interrupted(frontend, parent, interrupt(frontend))
        assert run(frontend, sub, "1") == [("result", "1")]

    def test_raise_in_input(self, frontend, sub):
        """G30: the prompt is over; a late answer is dropped, and the next prompt gets its own."""
        for word in ("one", "two"):
            parent = execute(frontend, sub, "input('?')", allow_stdin=True)
            frontend.recv_begin(parent)
            late = frontend.recv("stdin", "input_request", parent)
            recv_interrupted(frontend, parent, interrupt(frontend, sub))
            frontend.send_input("late", late)
            parent = execute(frontend, sub, "input('?')", allow_stdin=True)
            frontend.recv_begin(parent)
            prompt = frontend.recv("stdin", "input_request", parent)
            frontend.send_input(word, prompt)
            frontend.recv_result(parent, repr(word))
            frontend.recv_idle(parent)
            frontend.recv_reply(parent)

    def test_stop_the_handler_of_a_comm(self, frontend, sub):
        """G28: the handler ends, the subshell goes on."""
        code = (
            "from comm import create_comm\nc = create_comm(target_name='t', comm_id='loop')\n"
            "def loop(_):\n print('begun')\n while True: pass\nc.on_msg(loop)"
        )
        frontend.run(code)
        header = {"subshell_id": sub}
        parent = frontend.send("shell", "comm_msg", {"comm_id": "loop", "data": {}}, header=header)
        frontend.recv_busy(parent)
        frontend.recv_stream("stdout", "begun\n", parent)
        request = interrupt(frontend, sub)
        left = {parent, request}
        while left:
            message = frontend.recv("iopub")
            assert message.type == "status"
            if message.entry == ("status", "idle"):
                left.discard(message.parent_id)
        frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")
        assert run(frontend, sub, "1") == [("result", "1")]
        frontend.run("c.close()")

    def test_at_the_border_of_two_requests_hit_one_or_none(self, frontend, sub):
        """G27, G28: never a later one, and nothing is torn; sixty times."""
        for _ in range(60):
            first = execute(frontend, sub, "for _ in range(200): print('x')")
            request = interrupt(frontend, sub)
            said = []
            left = {first, request}
            while left:
                message = frontend.recv("iopub")
                if message.entry == ("status", "idle"):
                    left.discard(message.parent_id)
                elif message.parent_id == first:
                    said.append(message.entry)
            reply = frontend.recv("shell", "execute_reply", first).content
            frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")
            if reply["status"] == "ok":
                assert merged(said[2:]) == [("stdout", "x\n" * 200)]
            else:
                assert reply["ename"] == "KeyboardInterrupt"
            assert run(frontend, sub, "'next'") == [("result", "'next'")]


class TestDeaths:
    def test_are_told_to_each_request_that_ran(self, fresh, gate):
        """G18, G19, G21: error, idle and reply for each; what waits behind either is aborted."""
        fresh.run(SETUP)
        subshell = create(fresh)
        main = fresh.hold(gate)
        behind_main = fresh.execute("1")
        first = execute(fresh, subshell, "print('last words'); os.kill(os.getpid(), 9)")
        behind = execute(fresh, subshell, "2")
        fresh.recv_begin(first)
        fresh.recv_stream("stdout", "last words\n", first)
        for parent in (main, first):
            fresh.recv_error(parent, "KernelKilled")
            fresh.recv_idle(parent)
        for parent in (main, first):
            fresh.recv_reply(parent, "error")
        for parent in (behind_main, behind):
            fresh.recv_busy(parent)
            fresh.recv_idle(parent)
        for parent in (behind_main, behind):
            fresh.recv_reply(parent, "aborted")
        # The id is still good: clients do not hear of a new worker.
        assert listed(fresh) == [subshell]
        assert fresh.run("1") == [("result", "1")]
        parent = fresh.hold(gate)
        assert run(fresh, subshell, "2") == [("result", "2")]
        gate.open()
        fresh.recv_idle(parent)
        fresh.recv_reply(parent)
        delete(fresh, subshell)
        assert worker_threads(fresh) == 1

    def test_show_the_line_of_the_cell_that_crashed(self, fresh, gate):
        """G19: whose stack it was is told in the report of that cell."""
        fresh.run("import ctypes")
        subshell = create(fresh)
        main = fresh.hold(gate)
        parent = execute(fresh, subshell, "x = 1\nctypes.string_at(1)")
        fresh.recv_begin(parent)
        lines = {}
        for each in (main, parent):
            error = fresh.recv_error(each, "KernelSegfault")
            lines[each] = "----> " in "\n".join(error["traceback"])
            fresh.recv_idle(each)
        for each in (main, parent):
            fresh.recv_reply(each, "error")
        assert lines == {main: False, parent: True}

    def test_while_only_a_subshell_is_idle_are_told_once(self, fresh):
        """G22: nothing ran: on stderr, by nobody."""
        subshell = create(fresh)
        os.kill(fresh.worker_pid(), signal.SIGKILL)
        fresh.recv_obituary("KernelKilled")
        assert run(fresh, subshell, "1") == [("result", "1")]
        # Its thread was the dead worker's; the reply waits for no other.
        os.kill(int(run(fresh, subshell, "__import__('os').getpid()")[0][1]), signal.SIGKILL)
        fresh.recv_obituary("KernelKilled")
        delete(fresh, subshell)

    def test_by_shutdown_end_what_runs(self, fresh, gate):
        """G31: whatever a subshell does, the kernel ends, and its request is answered."""
        subshell = create(fresh)
        parent = execute(fresh, subshell, "x = 1\nprint('begun')\nwhile True: x")
        fresh.recv_begin(parent)
        fresh.recv_stream("stdout", "begun\n", parent)
        request = fresh.send("control", "shutdown_request", {"restart": False})
        fresh.recv_error(parent, "KernelStopped")
        fresh.recv_idle(parent)
        fresh.recv_reply(parent, "error")
        fresh.recv_shutdown(request)
        fresh.end()


class TestOff:
    def test_ids_are_ignored_and_nothing_is_offered(self, launch):
        """JEP 91: without the feature, a header's subshell_id means nothing."""
        frontend = launch(options=["--subshells=off"])
        info = frontend.request("kernel_info_request")
        assert "kernel subshells" not in info["supported_features"]
        parent = frontend.send("control", "create_subshell_request")
        frontend.recv_busy(parent)
        frontend.recv_idle(parent)
        assert run(frontend, "anything", "1") == [("result", "1")]
        assert worker_threads(frontend) == 1

    def test_by_the_environment(self, launch):
        """BULKHEAD_SUBSHELLS says the same."""
        frontend = launch(env={"BULKHEAD_SUBSHELLS": "off"})
        info = frontend.request("kernel_info_request")
        assert "kernel subshells" not in info["supported_features"]


def test_with_a_memory_limit(launch, gate):
    """G39: a subshell can be made while a cell runs, and its cells fail alone, too."""
    frontend = launch(options=["--memory-limit=300MB"])
    main = frontend.hold(gate)
    subshell = create(frontend)
    assert run(frontend, subshell, "x = bytes(1 << 30)", "error") == [("error", "MemoryError")]
    gate.open()
    frontend.recv_idle(main)
    frontend.recv_reply(main)
    assert run(frontend, subshell, "x = bytes(1 << 30)", "error") == [("error", "MemoryError")]
    delete(frontend, subshell)


class TestLibraries:
    """Widgets' messages are handled in a subshell, as JupyterLab sends them, while a cell runs."""

    def model(self, messages, name):
        """Find the comm of the one model of a name among what a cell published."""
        (comm_id,) = (
            message.content["comm_id"]
            for message in messages
            if message.type == "comm_open"
            and message.content["data"]["state"].get("_model_name") == name
        )
        return comm_id

    def tell(self, frontend, subshell, comm_id, data):
        """Send a widget's message."""
        content, header = {"comm_id": comm_id, "data": data}, {"subshell_id": subshell}
        return frontend.send("shell", "comm_msg", content, header=header)

    def move(self, frontend, subshell, comm_id, value):
        """Move a slider."""
        data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
        return self.tell(frontend, subshell, comm_id, data)

    def test_interact(self, frontend, sub, gate):
        """ipywidgets' interact calls its function while the main shell's cell runs."""
        code = (
            "import ipywidgets\nseen = []\n"
            "@ipywidgets.interact(x=(0, 10))\ndef show(x=1):\n seen.append(x)"
        )
        slider = self.model(frontend.run(code).messages, "IntSliderModel")
        main = frontend.hold(gate, "seen")
        frontend.recv_until_idle(self.move(frontend, sub, slider, 7))
        assert run(frontend, sub, "seen") == [("result", "[1, 7]")]
        gate.open()
        frontend.recv_result(main, "[1, 7]")
        frontend.recv_idle(main)
        frontend.recv_reply(main)
        frontend.run("ipywidgets.Widget.close_all()")

    def test_jupyter_ui_poll(self, frontend, sub):
        """Its loop in the main shell sees what its user does meanwhile."""
        pytest.importorskip("jupyter_ui_poll")
        opened = frontend.run("import ipywidgets\nw = ipywidgets.IntSlider()").messages
        slider = self.model(opened, "IntSliderModel")
        code = (
            "from jupyter_ui_poll import ui_events\n"
            "with ui_events() as poll:\n"
            " print('polls')\n"
            " while w.value != 9: poll(10)\n"
            "w.value"
        )
        main = frontend.execute(code)
        frontend.recv_begin(main)
        frontend.recv_stream("stdout", "polls\n", main)
        moved = self.move(frontend, sub, slider, 9)
        left, results = {main, moved}, []
        while left:  # the move may still be under way when the loop has seen its value
            message = frontend.recv("iopub")
            if message.entry == ("status", "idle"):
                left.discard(message.parent_id)
            elif message.parent_id == main:
                results.append(message.entry)
        assert results == [("result", "9")]
        frontend.recv_reply(main)
        assert frontend.run("1") == [("result", "1")]
        frontend.run("ipywidgets.Widget.close_all()")

    def test_ipympl(self, frontend, sub, gate):
        """A figure is drawn anew, in a subshell, while the main shell's cell runs."""
        pytest.importorskip("ipympl")
        code = (
            "%matplotlib widget\nimport ipywidgets, matplotlib.pyplot as plt\n"
            "fig, ax = plt.subplots(); ax.plot([1, 2]);"
        )
        figure = self.model(frontend.run(code).messages, "MPLCanvasModel")
        main = frontend.hold(gate)
        for asked in ("send_image_mode", "refresh", "draw"):
            data = {"method": "custom", "content": {"type": asked, "figure_id": "1"}}
            messages = frontend.recv_until_idle(self.tell(frontend, sub, figure, data))
        assert [message.type for message in messages if message.buffers] == ["comm_msg"]
        gate.open()
        frontend.recv_idle(main)
        frontend.recv_reply(main)
        frontend.run("plt.close('all'); ipywidgets.Widget.close_all()")


@pytest.mark.skipif(sys.platform != "linux", reason="snapshots need Linux")
def test_with_snapshots(launch):
    """G41: a subshell that waits keeps none from being made; a restored interpreter begins anew."""
    frontend = launch(options=["--recover=on"])
    frontend.run("x = 1")
    subshell = create(frontend)
    assert run(frontend, subshell, "x") == [("result", "1")]
    frontend.run("x = 2")
    ((_, text),) = frontend.run("%recovery")
    assert "A crash now would leave your variables as they were" in text
    assert "Threads" not in text
    parent = execute(frontend, subshell, "import os; os.kill(os.getpid(), 9)")
    frontend.recv_begin(parent)
    error = frontend.recv_crash(parent, "KernelKilled")
    # The newest snapshot may be that of before %recovery: a subshell does not wait for another.
    assert "Its variables are" in " ".join(error["traceback"])
    assert "Its variables are gone" not in " ".join(error["traceback"])
    assert listed(frontend) == [subshell]
    assert run(frontend, subshell, "x") == [("result", "2")]
    assert frontend.run("x") == [("result", "2")]
    delete(frontend, subshell)
    assert worker_threads(frontend) == 1
