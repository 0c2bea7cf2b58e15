"""Comm messages that a cell takes while it awaits something (G3, G10): real kernel, real loop.

The cell says when it waits, by what it prints just before; the client answers that. Where the
cell must not take a message, a gate holds it in code that does not await.
"""

from __future__ import annotations

import pytest
from frontend import Gate

SETUP = """
import asyncio, ctypes, os
from comm import create_comm, get_comm_manager
manager = get_comm_manager()

class Peer:
    '''A comm, and a future for its next message.'''
    def __init__(self):
        self.comm = create_comm(target_name='peer')
        self.comm.on_msg(self.hear)
        self.expect()
    def expect(self):
        self.future = asyncio.get_running_loop().create_future()
    def hear(self, message):
        self.data = message['content']['data']
        self.buffers = [bytes(buffer) for buffer in message['buffers']]
        print('heard', self.data)
        if not self.future.done():
            self.future.set_result(self.data)
    async def answer(self):
        print('waits')
        return await self.future
"""


@pytest.fixture(autouse=True)
def _setup(frontend):
    assert frontend.run(SETUP) == []
    yield
    frontend.run("for comm in list(manager.comms.values()): comm.close()")


@pytest.fixture
def gate(tmp_path):
    return Gate(tmp_path)


def begin(frontend, code):
    """Start a cell that makes a peer and goes on like this; give it, and the comm's id."""
    parent = frontend.execute(f"peer = Peer()\n{code}", allow_stdin=True)
    frontend.recv_begin(parent)
    return parent, frontend.recv("iopub", "comm_open", parent).content["comm_id"]


def waiting(frontend, code="print('got', await peer.answer())"):
    """Start a cell that awaits its peer; it waits when this returns, or is about to."""
    parent, comm_id = begin(frontend, code)
    frontend.recv_stream("stdout", "waits\n", parent)
    return parent, comm_id


def say(frontend, comm_id, data, **more):
    return frontend.send("shell", "comm_msg", {"comm_id": comm_id, "data": data}, **more)


def recv_heard(frontend, parent, data):
    """Receive all that a message causes: its pair, and in it what its handler prints."""
    frontend.recv_busy(parent)
    frontend.recv_stream("stdout", f"heard {data}\n", parent)
    frontend.recv_idle(parent)


class TestACellThatAwaits:
    def test_gets_its_answer(self, frontend):
        """G3, G10: the message's pair stands inside of the cell's, with what its handler prints."""
        cell, comm_id = waiting(frontend)
        recv_heard(frontend, say(frontend, comm_id, 42), 42)
        frontend.recv_stream("stdout", "got 42\n", cell)
        frontend.recv_idle(cell)
        frontend.recv_reply(cell)

    def test_gets_it_ahead_of_the_next_cell(self, frontend):
        """G10: else a Run All would wait for ever."""
        cell, comm_id = waiting(frontend)
        following = frontend.execute("peer.data")
        recv_heard(frontend, say(frontend, comm_id, "go"), "go")
        frontend.recv_stream("stdout", "got go\n", cell)
        frontend.recv_idle(cell)
        frontend.recv_reply(cell)
        frontend.recv_begin(following)
        frontend.recv_result(following, "'go'")
        frontend.recv_idle(following)
        frontend.recv_reply(following)

    def test_gets_many_in_order(self, frontend):
        """G1, G10: a conversation, each message when the cell has said that it wants it."""
        cell, comm_id = begin(
            frontend,
            "for _ in range(200):\n    n = await peer.answer()\n    peer.expect()\n"
            "    peer.comm.send({'n': n + 1})",
        )
        for number in range(0, 400, 2):
            frontend.recv_stream("stdout", "waits\n", cell)
            recv_heard(frontend, say(frontend, comm_id, number), number)
            answer = frontend.recv("iopub", "comm_msg", cell)
            assert answer.content["data"] == {"n": number + 1}
        frontend.recv_idle(cell)
        frontend.recv_reply(cell)

    def test_gets_what_comes_all_at_once_in_order(self, frontend):
        """G10: comm messages do not overtake each other."""
        cell, comm_id = waiting(
            frontend, "await peer.answer()\nwhile peer.data < 99: await asyncio.sleep(0)"
        )
        sent = [say(frontend, comm_id, number) for number in range(100)]
        for number, parent in enumerate(sent):
            recv_heard(frontend, parent, number)
        frontend.recv_idle(cell)
        frontend.recv_reply(cell)

    def test_gets_buffers(self, frontend):
        """G13: small ones in the record, big ones beside it."""
        cell, comm_id = waiting(
            frontend, "await peer.answer()\nprint([len(b) for b in peer.buffers])"
        )
        parent = say(frontend, comm_id, 1, buffers=[b"ab", bytes(3 << 20)])
        recv_heard(frontend, parent, 1)
        frontend.recv_stream("stdout", "[2, 3145728]\n", cell)
        frontend.recv_idle(cell)
        frontend.recv_reply(cell)

    def test_may_be_opened_a_comm_and_closed_one(self, frontend):
        """G13, G14: the table of comms knows at once."""
        frontend.run("def target(comm, message): peer.future.set_result(comm.comm_id)\n"
                     "manager.register_target('theirs', target)")  # fmt: skip
        cell, comm_id = waiting(frontend)
        content = {"comm_id": "new", "target_name": "theirs", "data": {}}
        frontend.request("comm_open", content)
        frontend.recv_stream("stdout", "got new\n", cell)
        frontend.recv_idle(cell)
        frontend.recv_reply(cell)
        comms = frontend.request("comm_info_request")["comms"]
        assert comms == {comm_id: {"target_name": "peer"}, "new": {"target_name": "theirs"}}

    def test_is_told_its_own_bytes_apart_from_the_handler_s(self, frontend):
        """G6: what C code writes in a handler belongs to the message that it handles."""
        cell, comm_id = waiting(
            frontend,
            "peer.comm.on_msg(lambda _: [os.write(1, b'theirs'), peer.future.set_result(0)])\n"
            "await peer.answer(); os.write(1, b'mine');",
        )
        parent = say(frontend, comm_id, 1)
        frontend.recv_busy(parent)
        frontend.recv_stream("stdout", "theirs", parent)
        frontend.recv_idle(parent)
        frontend.recv_stream("stdout", "mine", cell)
        frontend.recv_idle(cell)
        frontend.recv_reply(cell)

    def test_is_no_further_because_of_a_handler_that_fails(self, frontend):
        """G9: a SystemExit in a handler costs its message, and the cell goes on."""
        cell, comm_id = waiting(
            frontend,
            "peer.comm.on_msg(lambda _: exec('raise SystemExit'))\n"
            "peer.comm.on_close(lambda _: peer.future.set_result('closed'))\nawait peer.answer()",
        )
        parent = say(frontend, comm_id, 1)
        frontend.recv_busy(parent)
        frontend.recv_idle(parent)
        frontend.request("comm_close", {"comm_id": comm_id, "data": {}})
        frontend.recv_result(cell, "'closed'")
        frontend.recv_idle(cell)
        frontend.recv_reply(cell)


class TestACellThatDoesNotAwait:
    def test_leaves_messages_for_later(self, frontend, gate):
        """G10: they are handled in the order of arrival, behind the cell they came behind."""
        cell, comm_id = begin(frontend, f"{gate.wait};")
        first = say(frontend, comm_id, 1)
        following = frontend.execute("print(peer.data)")
        second = say(frontend, comm_id, 2)
        frontend.arrived()
        gate.open()
        frontend.recv_idle(cell)
        frontend.recv_reply(cell)
        recv_heard(frontend, first, 1)
        frontend.recv_begin(following)
        frontend.recv_stream("stdout", "1\n", following)
        frontend.recv_idle(following)
        frontend.recv_reply(following)
        recv_heard(frontend, second, 2)

    def test_that_fails_leaves_them_too(self, frontend, gate):
        """G11: the cells behind it are aborted, the messages are not."""
        cell, comm_id = begin(frontend, f"{gate.wait}; 1/0")
        aborted = frontend.execute("peer.data")
        message = say(frontend, comm_id, 1)
        frontend.arrived()
        gate.open()
        frontend.recv_error(cell, "ZeroDivisionError")
        frontend.recv_idle(cell)
        frontend.recv_reply(cell, "error")
        frontend.recv_aborted(aborted)
        recv_heard(frontend, message, 1)

    def test_has_its_question_answered_first(self, frontend):
        """G7, G30: what comes while `input()` waits is taken when the cell awaits."""
        cell, comm_id = begin(frontend, "name = input('name? ')\nprint(name, await peer.answer())")
        prompt = frontend.recv("stdin", "input_request", cell)
        message = say(frontend, comm_id, 7)
        frontend.arrived()
        frontend.send_input("Ann", prompt)
        frontend.recv_stream("stdout", "waits\n", cell)
        recv_heard(frontend, message, 7)
        frontend.recv_stream("stdout", "Ann 7\n", cell)
        frontend.recv_idle(cell)
        frontend.recv_reply(cell)

    def test_asks_and_leaves_them(self, frontend):
        """G10: what came while `input()` waited is handled after a cell that awaits nothing."""
        cell, comm_id = begin(frontend, "input();")
        prompt = frontend.recv("stdin", "input_request", cell)
        message = say(frontend, comm_id, 8)
        frontend.arrived()
        frontend.send_input("", prompt)
        frontend.recv_idle(cell)
        frontend.recv_reply(cell)
        recv_heard(frontend, message, 8)


class TestAHandler:
    def test_that_asks_is_told_that_nobody_answers(self, frontend):
        """G10: the question of a message would be taken for the cell's."""
        cell, comm_id = waiting(
            frontend,
            "def ask(_):\n    try: input()\n    except Exception as e: print(type(e).__name__)\n"
            "    peer.future.set_result(0)\n"
            "peer.comm.on_msg(ask)\nawait peer.answer()",
        )  # fmt: skip
        parent = say(frontend, comm_id, 1)
        frontend.recv_busy(parent)
        frontend.recv_stream("stdout", "StdinNotImplementedError\n", parent)
        frontend.recv_idle(parent)
        frontend.recv_result(cell, "0")
        frontend.recv_idle(cell)
        frontend.recv_reply(cell)

    def test_is_interrupted_with_its_cell(self, frontend):
        """G27, G28, G29: an interrupt is for the cell that runs, wherever it stands."""
        cell, comm_id = waiting(
            frontend,
            "def spin(_):\n    print('spins')\n    while True: pass\n"
            "peer.comm.on_msg(spin)\nawait peer.answer()",
        )
        parent = say(frontend, comm_id, 1)
        frontend.recv_busy(parent)
        frontend.recv_stream("stdout", "spins\n", parent)
        request = frontend.interrupt()
        said = [(one.parent_id, one.entry) for one in frontend.recv_until_idle(cell, others=True)]
        assert [one for one in said if one[0] != request] == [
            (parent, ("status", "idle")), (cell, ("error", "KeyboardInterrupt"))
        ]  # fmt: skip
        frontend.recv_reply(cell, "error")
        frontend.recv_reply(request, msg_type="interrupt_reply", channel="control")
        assert frontend.run("1") == [("result", "1")]

    def test_that_crashes_takes_its_cell_along(self, fresh):
        """G9, G19: both are told of the death, the message first; the next cell runs."""
        assert fresh.run(SETUP) == []
        cell, comm_id = waiting(
            fresh, "peer.comm.on_msg(lambda _: ctypes.string_at(0))\nawait peer.answer()"
        )
        parent = say(fresh, comm_id, 1)
        fresh.recv_busy(parent)
        fresh.recv_error(parent, "KernelSegfault")
        fresh.recv_idle(parent)
        fresh.recv_crash(cell, "KernelSegfault")
        fresh.recv_closed_comms([comm_id])
        assert fresh.run(SETUP) == []


class TestASubshell:
    def test_wakes_the_cell_that_awaits_what_it_has_set(self, frontend):
        """JupyterLab sends a widget's messages to a subshell; the main shell's cell goes on."""
        content = frontend.request("create_subshell_request", channel="control")
        subshell = {"subshell_id": content["subshell_id"]}
        cell, comm_id = waiting(
            frontend,
            # Nothing else is to wake the loop by chance: no timer, no history that can be saved.
            "asyncio.get_running_loop()._scheduled.clear(); get_ipython().history_manager.save()\n"
            "print('got', await peer.answer())",
        )
        parent = say(frontend, comm_id, 5, header=subshell)
        said = frontend.recv_until_idle(cell, others=True)
        said = [(one.parent_id == cell, one.entry) for one in said]
        assert [entry for its, entry in said if its] == [("stdout", "got 5\n")]
        assert (False, ("stdout", "heard 5\n")) in said
        if (False, ("status", "idle")) not in said:
            frontend.recv_idle(parent)
        frontend.recv_reply(cell)
        frontend.request("delete_subshell_request", subshell, channel="control")
