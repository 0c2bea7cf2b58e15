"""What VS Code does when it starts kernels itself: a short run of its imitation, and its ways."""

from __future__ import annotations

import sys
from dataclasses import replace

from benchmarks.kernels import named
from benchmarks.raw_mode.driver import drive


def hit(frontend, parent, request):
    """Receive the end of a cell that an interrupt on the shell channel has hit."""
    entries = []
    idles = {parent, request}
    while idles:
        message = frontend.recv("iopub")
        entries.append((message.parent_id, message.entry))
        if message.entry == ("status", "idle"):
            idles.remove(message.parent_id)
    assert (parent, ("error", "KeyboardInterrupt")) in entries
    replies = [frontend.recv("shell") for _ in range(2)]
    told = {message.parent_id: (message.type, message.content) for message in replies}
    assert told[request] == ("interrupt_reply", {"status": "ok"})
    assert told[parent][0] == "execute_reply"
    assert told[parent][1]["ename"] == "KeyboardInterrupt"


class TestInterruptsOnTheShellChannel:
    def test_they_are_taken_at_once(self, frontend):
        """G27, G29: VS Code sends interrupt_request on shell, where the cell's request came."""
        parent = frontend.execute("print('held')\nwhile True: pass")
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        hit(frontend, parent, frontend.send("shell", "interrupt_request"))
        assert frontend.run("1") == [("result", "1")]

    def test_they_act_on_a_cell_that_was_sent_before_on_the_same_socket(self, frontend):
        """G27: one socket keeps order, so the cell is what runs when its interrupt is received."""
        for _ in range(30):
            parent = frontend.execute("import time; time.sleep(1000)")
            hit(frontend, parent, frontend.send("shell", "interrupt_request"))

    def test_they_do_not_act_on_a_cell_that_was_sent_behind_them(self, frontend):
        """G27: the one that acts on interrupts may be late, and another cell runs by then."""
        for number in range(100):
            request = frontend.send("shell", "interrupt_request")
            parent = frontend.execute(f"sum(range(20_000)) * 0 + {number}")
            said = frontend.recv_until_idle(parent, others=True)
            entries = [one.entry for one in said if one.parent_id == parent]
            assert entries[-1] == ("result", str(number))
            if ("status", "idle") not in [one.entry for one in said if one.parent_id == request]:
                said = frontend.recv_until_idle(request, others=True)
                assert {one.parent_id for one in said} <= {request}
            replies = [frontend.recv("shell") for _ in range(2)]
            told = {one.parent_id: one.content["status"] for one in replies}
            assert told == {request: "ok", parent: "ok"}

    def test_with_nothing_running_they_do_nothing(self, frontend):
        """G28: an idle kernel answers, and the next cell runs."""
        request = frontend.send("shell", "interrupt_request")
        frontend.recv_busy(request)
        frontend.recv_idle(request)
        frontend.recv_reply(request, msg_type="interrupt_reply")
        assert frontend.run("1") == [("result", "1")]


def test_thirty_rounds_without_a_stuck_cell():
    """A short run of the driver: spawned, frozen, interrupted, killed and started again."""
    kernel = replace(named("bulkhead"), python=sys.executable)
    tally = drive([kernel], range(20, 50), 30.0)["bulkhead"]
    assert (tally.rounds, tally.stuck, tally.wrong) == (30, {}, {})
