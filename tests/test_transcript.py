"""The order of everything that is published, one rule a test, told in short strings.

Here the rules stand one by one. That they hold together, whatever comes in between, is what
``test_interleavings`` tries.
"""

from __future__ import annotations

import copy
import json
import struct

import pytest
from bulkhead_kernel.shared.records import Kind, RecordError
from bulkhead_kernel.supervisor import events
from bulkhead_kernel.supervisor.actions import Publish
from bulkhead_kernel.supervisor.post_mortem import Ended, Facts
from bulkhead_kernel.supervisor.recovery_words import Outcome
from bulkhead_kernel.supervisor.streams import CAP
from bulkhead_kernel.supervisor.transcript import Transcript
from telling import CRASH, STOPPING, Teller, record, request, tell

LEFT = Facts(exitcode=0, pid=123)


@pytest.fixture
def teller():
    return Teller()


@pytest.fixture
def running():
    """A transcript in which execute_request 1 has begun."""
    teller = Teller()
    teller.sent(1)
    teller.begin(1)
    return teller


def forgotten(*numbers):
    return struct.pack(f"<{len(numbers)}Q", *numbers)


class TestARequest:
    def test_is_told_from_busy_to_its_reply(self, teller):
        """G2, G8, G9: busy, what it emits, idle, and only then Shell learns that it is over."""
        assert teller.record(Kind.HELLO) == ["hello 1"]
        assert teller.sent(1) == []
        assert teller.begin(1) == ["busy 1"]
        assert teller.publish(1, "execute_input", '{"code": "6 * 7"}') == [
            'execute_input 1 {"code": "6 * 7"}'
        ]
        assert teller.publish(1, "execute_result", '{"data": 42}') == [
            'execute_result 1 {"data": 42}'
        ]
        assert teller.done(1) == ["idle 1", "reply 1 execute_reply ok"]

    def test_that_says_nothing_is_busy_and_idle_all_the_same(self, teller):
        """G9: each request has its pair, a comm message, too; that one has no reply."""
        teller.sent(7, "comm_msg")
        assert teller.begin(7) == ["busy 7"]
        assert teller.done(7) == ["idle 7", "over 7"]

    @pytest.mark.parametrize("kind", ["complete", "inspect", "is_complete", "history", "execute"])
    def test_gets_the_reply_of_its_kind(self, teller, kind):
        """G9: an X_request is answered by an X_reply."""
        teller.sent(1, f"{kind}_request")
        teller.begin(1)
        assert teller.done(1) == ["idle 1", f"reply 1 {kind}_reply ok"]

    def test_that_fails_says_so_to_those_behind_it(self, running):
        """G11: the notice of a failed cell tells Shell to abort what waits."""
        assert running.done(1, '{"status":"error"}', abort=True) == [
            "idle 1",
            "reply 1 execute_reply error aborting",
        ]

    def test_has_the_bytes_of_its_client_and_of_its_worker(self):
        """G24: header, content, metadata and buffers are passed on to the byte, not re-encoded."""
        transcript = Transcript()
        transcript.attach(1)
        asked = request(1)
        transcript.sent(events.Sent(asked, 1))
        transcript.record(record(Kind.BEGIN, 1, "1", b""))
        content, metadata, buffers = b'{ "data":\t{} }', b'{"a" :1}', (b"\0\xff", b"")
        (published,) = transcript.record(
            record(Kind.PUBLISH, 1, "display_data", content, metadata, *buffers)
        )
        assert published == Publish(
            "display_data", asked.message.header, content, metadata, buffers
        )

    def test_shows_its_code_as_it_begins(self, teller):
        """G2, G6: one record says both, behind the bytes that were written before it."""
        teller.sent(1)
        teller.transcript.captured(1, b"early")
        assert teller.record(Kind.BEGIN_CELL, 1, "1", b"", '{"code":"1"}', marks=(5, 0)) == [
            "stdout - 'early'",
            "busy 1",
            'execute_input 1 {"code":"1"}',
        ]

    def test_waits_for_its_turn(self, teller):
        """G10: two requests at the worker at once would be a fault of Shell's."""
        teller.sent(1)
        with pytest.raises(AssertionError, match="one request at a time"):
            teller.sent(2)

    def test_that_asks_for_input_has_published_everything_before(self, running):
        """G7: what was printed is on IOPub before Shell hears of the question."""
        assert running.out(1, "Name? ") == []
        assert running.record(Kind.INPUT, 1, '{"prompt":""}', "p1") == [
            "stdout 1 'Name? '",
            'input 1 {"prompt":""} p1',
        ]

    def test_that_is_stuck_can_be_told_on_its_stderr(self, running):
        """G29: a remark of the supervisor's goes to the request that it is about, if that runs."""
        assert running.remark(1, "still in C") == []
        assert running.due() == ["stderr 1 'still in C'"]
        assert running.remark(2, "about another") == []
        running.done(1)
        assert running.remark(1, "too late") == []
        assert running.due() == []


class TestText:
    def test_of_one_stream_and_one_request_is_joined(self, running):
        """G5: prints become one message when something else pushes them out."""
        assert running.out(1, "a\n") == []
        assert running.out(1, "b\n") == []
        assert running.done(1) == [
            "stdout 1 'a\\nb\\n'",
            "idle 1",
            "reply 1 execute_reply ok",
        ]

    def test_changes_no_places_with_anything(self, running):
        """G1, G5: stdout, stderr, display, clear and comms come out as they went in."""
        told = [
            *running.out(1, "a"), *running.err(1, "b"), *running.out(1, "c"),
            *running.publish(1), *running.out(1, "d"), *running.publish(1, "clear_output"),
            *running.comm(1, "comm_open"), *running.err(1, "e"), *running.done(1),
        ]  # fmt: skip
        assert told == [
            "stdout 1 'a'", "stderr 1 'b'", "stdout 1 'c'",
            "display_data 1", "stdout 1 'd'", "clear_output 1",
            "comm_open 1 c", "stderr 1 'e'", "idle 1", "reply 1 execute_reply ok",
        ]  # fmt: skip

    def test_is_pushed_out_by_everything_that_is_published(self, running):
        """G5: nothing that is told overtakes text that was written before it."""
        pushing = [
            lambda: running.publish(1),
            lambda: running.comm(1, "comm_msg"),
            lambda: running.record(Kind.LOG, 0, "info", "logged"),
            lambda: running.answer(9),
            lambda: running.comm_info(9),
            lambda: running.abort(9),
            lambda: running.refuse(9),
            lambda: running.err(1, "e"),
            lambda: running.out(2, "another's"),
            lambda: running.done(1),
        ]
        for push in pushing:
            running.transcript.streams.take()
            running.out(1, "first")
            assert push()[0] == "stdout 1 'first'"

    def test_waits_for_the_clock_and_no_longer(self, running):
        """G5: what nobody pushes out goes out when it is due."""
        running.out(1, "tick\n")
        assert tell(running.transcript.due(1.0)) == ["stdout 1 'tick\\n'"]
        assert running.out(1, "tock\n") == []
        assert tell(running.transcript.due(1.001)) == []
        assert tell(running.transcript.due(2.0)) == ["stdout 1 'tock\\n'"]

    def test_may_hold_lone_surrogates(self, running):
        """G5: what Python can print arrives, also what is no text in UTF-8."""
        surrogate = "\ud800".encode("utf-8", "surrogatepass")
        running.record(Kind.STDOUT, 1, surrogate)
        assert running.due() == ["stdout 1 '\\ud800'"]

    def test_that_floods_comes_in_messages_of_a_size(self, running):
        """G35: one stream message has at most CAP characters, however much is printed at once."""
        actions = running.transcript.record(record(Kind.STDOUT, 1, "x" * (2 * CAP + 1)))
        sizes = [len(json.loads(action.content)["text"]) for action in actions]
        assert sizes == [CAP, CAP, 1]

    def test_has_a_topic_of_its_own(self, running):
        """Subscribers choose by topic: stream.stdout and stream.stderr, as ipykernel names them."""
        running.out(1, "a")
        (out,) = running.transcript.record(record(Kind.STDERR, 1, "b"))
        (err,) = running.transcript.due(1.0) or running.transcript.due(2.0)
        assert (out.topic, err.topic) == ("stream.stdout", "stream.stderr")


class TestCapturedBytes:
    def test_stand_where_they_were_written(self, running):
        """G6: os.write A, print B, os.write C, display D, os.system E: A B C D E, however read."""
        for cuts in ([b"ACE"], [b"A", b"CE"], [b"AC", b"E"], [b"A", b"C", b"E"]):
            teller = Teller()
            teller.sent(1)
            teller.begin(1)
            told = []
            for piece in cuts:
                teller.captured(1, piece)
            told += teller.out(1, "B", marks=(1, 0))
            told += teller.publish(1, marks=(2, 0))
            told += teller.done(1, marks=(3, 0))
            assert told == [
                "stdout 1 'ABC'",
                "display_data 1",
                "stdout 1 'E'",
                "idle 1",
                "reply 1 execute_reply ok",
            ]

    def test_that_a_record_has_counted_are_asked_for(self, running):
        """G6: a record tells how many bytes must be read before it is taken."""
        running.captured(1, b"ab")
        assert running.transcript.missing(record(Kind.STDOUT, 1, "x", marks=(5, 2))) == (3, 2)
        assert running.transcript.missing(record(Kind.STDOUT, 1, "x", marks=(1, 0))) == (0, 0)

    def test_that_no_record_stands_before_are_settled(self, running):
        """G6: bytes that were read before the records were are behind none that is to come."""
        running.captured(1, b"from C")
        running.captured(2, b"an error from C")
        assert running.settle() == ["stdout 1 'from C'"]
        assert running.due() == ["stderr 1 'an error from C'"]
        assert running.settle() == []

    def test_before_a_request_belong_to_the_cell_before_it(self, teller):
        """G4: bytes that stand before BEGIN are not the new request's."""
        teller.run(1)
        teller.sent(2)
        teller.captured(1, b"late")
        assert teller.begin(2, marks=(4, 0)) == ["stdout 1 'late'", "busy 2"]

    def test_before_done_are_published_before_idle(self, running):
        """G4: what was written to 1 or 2 before the request ended comes before its idle."""
        running.captured(2, b"err")
        running.captured(1, b"out")
        assert running.done(1, marks=(3, 3)) == [
            "stdout 1 'out'",
            "stderr 1 'err'",
            "idle 1",
            "reply 1 execute_reply ok",
        ]

    def test_that_come_between_requests_belong_to_the_newest_cell(self, teller):
        """G4: a child that writes late belongs to the newest cell; other requests are no cells."""
        teller.run(1)
        teller.run(2, "complete_request")
        teller.captured(1, b"late")
        assert teller.settle() == []
        assert teller.due() == ["stdout 1 'late'"]

    def test_that_come_while_another_request_runs_belong_to_it(self, teller):
        """G4: while something runs, bytes of nobody-knows-whom are its own."""
        teller.run(1)
        teller.sent(2, "complete_request")
        teller.begin(2)
        teller.captured(1, b"x")
        teller.settle()
        assert teller.due() == ["stdout 2 'x'"]

    def test_before_the_first_request_belong_to_nobody(self, teller):
        """G4: what a start-up file writes has an empty parent."""
        teller.captured(1, b"welcome\n")
        teller.settle()
        assert teller.due() == ["stdout - 'welcome\\n'"]

    def test_of_half_a_character_wait_for_the_other_half(self, running):
        """G5: a character that a record cuts in two is published whole, after the record."""
        running.captured(1, b"\xc3")
        assert running.publish(1, marks=(1, 0)) == ["display_data 1"]
        running.captured(1, b"\xa4")
        running.settle()
        assert running.due() == ["stdout 1 'ä'"]


class TestLateOutput:
    def test_of_a_thread_keeps_its_cell(self, teller):
        """G4: the record's own number decides, whatever runs in the meantime."""
        teller.run(1)
        teller.sent(2)
        teller.begin(2)
        assert teller.out(2, "from 2") == []
        assert teller.out(1, "from a thread of 1") == ["stdout 2 'from 2'"]
        assert teller.publish(1) == ["stdout 1 'from a thread of 1'", "display_data 1"]

    def test_after_idle_keeps_its_cell(self, teller):
        """G4: a task that prints when nothing runs still names its cell."""
        teller.run(1)
        teller.out(1, "later")
        assert teller.due() == ["stdout 1 'later'"]

    def test_of_a_request_that_nobody_can_name_has_no_parent(self, teller):
        """G4: a number that was never given is nobody's; nothing is lost."""
        teller.out(99, "whose?")
        assert teller.due() == ["stdout - 'whose?'"]

    def test_is_remembered_as_long_as_the_worker_can_name_its_request(self, teller):
        """G4: a header goes when the worker has forgotten the request, and not before."""
        for number in (1, 2, 3):
            teller.run(number)
        teller.sent(4)
        teller.begin(4, forgotten=forgotten(1, 3))
        assert teller.publish(2) == ["display_data 2"]
        assert teller.publish(1) == ["display_data -"]
        assert teller.publish(3) == ["display_data -"]

    def test_of_the_newest_cell_keeps_its_header_although_it_was_forgotten(self, teller):
        """G4: bytes that a child of it writes are its own as long as no newer cell has begun."""
        teller.run(1)
        teller.sent(2, "complete_request")
        teller.begin(2, forgotten=forgotten(1))
        teller.done(2)
        teller.captured(1, b"late")
        teller.settle()
        assert teller.due() == ["stdout 1 'late'"]
        teller.captured(1, b"later")
        teller.sent(3)
        assert teller.begin(3, marks=(9, 0)) == ["stdout 1 'later'", "busy 3"]
        assert teller.publish(1) == ["display_data -"]

    def test_that_waits_while_its_request_is_forgotten_keeps_its_header(self, teller):
        """G4: text that was written before BEGIN is published under what it was written for."""
        teller.run(1)
        teller.run(2)
        teller.out(1, "last words")
        teller.sent(3)
        assert teller.begin(3, forgotten=forgotten(1, 2)) == ["stdout 1 'last words'", "busy 3"]

    def test_takes_no_memory_in_the_long_run(self, teller):
        """G37: after thousands of requests only the headers that can be named are left."""
        for number in range(1, 2_000):
            teller.sent(number)
            teller.begin(number, forgotten=forgotten(number - 1) if number > 1 else b"")
            teller.done(number)
        assert len(teller.transcript._requests._parents) <= 2


class TestAnswersOfTheSupervisor:
    def test_are_a_pair_and_then_the_reply(self, teller):
        """G8, G9, G12: kernel_info needs no worker, and has its pair like everything else."""
        assert teller.answer(5) == ["busy 5", "idle 5", "reply 5 kernel_info_reply ok"]

    def test_may_stand_inside_the_pair_of_another_request(self, running):
        """G3: what the supervisor answers by itself does not wait for what runs."""
        running.out(1, "a")
        assert running.answer(5) == [
            "stdout 1 'a'", "busy 5", "idle 5", "reply 5 kernel_info_reply ok",
        ]  # fmt: skip
        assert running.publish(1) == ["display_data 1"]

    def test_on_the_control_channel_are_told_to_control(self, running):
        """G8, G12: whoever owns the socket sends the reply."""
        assert running.answer(5, channel="control") == [
            "busy 5", "idle 5", "control: reply 5 kernel_info_reply ok",
        ]  # fmt: skip

    def test_to_a_shutdown_are_published_too(self, teller):
        """G31: every client hears of a shutdown, between busy and idle."""
        assert teller.answer(5, "shutdown_request", "control", publish=True) == [
            "busy 5", 'shutdown_reply 5 {"status":"ok"}', "idle 5",
            "control: reply 5 shutdown_reply ok",
        ]  # fmt: skip

    def test_to_messages_without_a_reply_are_a_pair_only(self, teller):
        """G9: a message of an unknown type has busy and idle; there is no reply to send."""
        asked = request(5, "what_is_this")
        actions = teller.transcript.answer(events.Answer(asked, "", b"{}"))
        assert tell(actions) == ["busy 5", "idle 5", "over 5"]

    def test_to_what_waits_behind_a_failure_are_aborted(self, teller):
        """G11, G21: an aborted cell has a pair of its own."""
        assert teller.abort(5) == ["busy 5", "idle 5", "reply 5 execute_reply aborted"]

    def test_when_no_worker_will_come_say_why(self, teller):
        """G25: a refused request has busy, the error, idle and a reply of its kind."""
        assert teller.refuse(5) == [
            "busy 5", "error 5 KernelKilled", "idle 5", "reply 5 execute_reply error aborting",
        ]  # fmt: skip
        assert teller.refuse(6, "complete_request")[-1].startswith("reply 6 complete_reply error")
        assert teller.refuse(7, "comm_msg")[-1].startswith("over 7")

    def test_begin_with_starting_once(self, teller):
        """G34: 'starting' has no parent and is told by IOPub when its life begins."""
        assert tell(teller.transcript.starting()) == ["starting -"]


class TestComms:
    def test_are_listed_while_they_are_open(self, running):
        """G14: from the message that opens a comm to the one that closes it."""
        assert running.comm_info(9)[-1] == "reply 9 comm_info_reply none"
        assert running.comm(1, "comm_open", "c", "t") == ["comm_open 1 c"]
        assert running.comm(1, "comm_open", "d", "u", b"buffer") == ["comm_open 1 d +1"]
        assert running.comm_info(9)[-1] == "reply 9 comm_info_reply c:t,d:u"
        assert running.comm_info(9, target="u")[-1] == "reply 9 comm_info_reply d:u"
        assert running.comm(1, "comm_msg", "c") == ["comm_msg 1 c"]
        assert running.comm(1, "comm_close", "c") == ["comm_close 1 c"]
        assert running.comm_info(9)[-1] == "reply 9 comm_info_reply d:u"

    def test_that_a_client_opens_are_listed_once_they_have_a_target(self, teller):
        """G14: a client's comm_open is not seen on IOPub; the worker says that it was taken."""
        teller.sent(3, "comm_open")
        teller.begin(3)
        assert teller.comm_info(9)[-1] == "reply 9 comm_info_reply none"
        assert teller.record(Kind.COMM_ACCEPTED, 0, "c", "t") == []
        assert teller.done(3) == ["idle 3", "over 3"]
        assert teller.comm_info(9)[-1] == "reply 9 comm_info_reply c:t"

    def test_without_a_target_are_closed_before_idle(self, teller):
        """G15: the refusal stands in the pair of the request that asked."""
        teller.sent(3, "comm_open")
        told = teller.begin(3) + teller.comm(3, "comm_close") + teller.done(3)
        assert told == ["busy 3", "comm_close 3 c", "idle 3", "over 3"]
        assert teller.comm_info(9)[-1] == "reply 9 comm_info_reply none"

    def test_that_their_client_has_closed_are_never_listed_again(self, running):
        """G14: not while the close waits for its turn, nor if the worker accepts it meanwhile."""
        running.comm(1, "comm_open")
        assert running.comm_closed() == []
        assert running.comm_info(9)[-1] == "reply 9 comm_info_reply none"
        running.record(Kind.COMM_ACCEPTED, 0, "c", "t")
        assert running.comm_info(9)[-1] == "reply 9 comm_info_reply none"
        running.record(Kind.COMM_FORGOTTEN, 0, "c")
        assert running.comm_info(9)[-1] == "reply 9 comm_info_reply none"

    def test_may_be_opened_again_under_an_old_name(self, running):
        """G14: each close counts: what was opened between two of them is closed by the second."""
        running.comm_closed()
        running.comm_closed()
        running.record(Kind.COMM_FORGOTTEN, 0, "c")
        running.record(Kind.COMM_ACCEPTED, 0, "c", "t")
        assert running.comm_info(9)[-1] == "reply 9 comm_info_reply none"
        running.record(Kind.COMM_FORGOTTEN, 0, "c")
        running.record(Kind.COMM_ACCEPTED, 0, "c", "t")
        assert running.comm_info(9)[-1] == "reply 9 comm_info_reply c:t"

    def test_are_closed_when_their_worker_dies(self, running):
        """G17: after the crashed request's own messages, and before anything is busy again."""
        running.comm(1, "comm_open", "c")
        running.comm(1, "comm_open", "d")
        assert running.died() == [
            "gone 1",
            "error 1 KernelKilled", "idle 1", "reply 1 execute_reply error aborting",
            "comm_close - c", "comm_close - d",
            "buried 1",
        ]  # fmt: skip
        assert running.comm_info(9)[-1] == "reply 9 comm_info_reply none"

    def test_closed_by_a_client_stay_so_when_the_worker_dies(self, running):
        """G14: the close and the open before it go to the next worker; the comm is not listed."""
        running.comm_closed()
        running.died()
        running.attach(2)
        running.record(Kind.COMM_ACCEPTED, 0, "c", "t")
        assert running.comm_info(9)[-1] == "reply 9 comm_info_reply none"

    def test_whose_close_died_with_the_worker_are_done_with(self):
        """G14: the close of a dead comm is over with its request; its name may be used again."""
        teller = Teller()
        asked = request(4, "comm_close")
        teller.comm_closed("c")
        message = type(asked.message)(
            (), asked.message.header, b"{}", b"{}", b'{"comm_id": "c"}', (), "4", "comm_close"
        )
        teller.transcript.sent(events.Sent(events.Request(4, message, "shell"), 1))
        teller.begin(4)
        teller.died()
        teller.attach(2)
        teller.record(Kind.COMM_ACCEPTED, 0, "c", "t")
        assert teller.comm_info(9)[-1] == "reply 9 comm_info_reply c:t"


class TestADeath:
    def test_in_a_request_is_told_to_it(self, running):
        """G18, G19: first all that was written, then the error, idle, and the reply; once."""
        running.out(1, "printed, ")
        running.captured(1, b"and from C")
        running.captured(2, b"and an error")
        assert running.died() == [
            "stdout 1 'printed, and from C'",
            "stderr 1 'and an error'",
            "gone 1",
            "error 1 KernelKilled",
            "idle 1",
            "reply 1 execute_reply error aborting",
            "buried 1",
        ]

    def test_tells_the_cells_that_are_in_no_snapshot(self, running):
        """G41: as many whether one runs, a comm message does, or nothing at all."""
        running.record(Kind.HELLO)
        facts = CRASH._replace(outcome=Outcome(restored=True, after=1))
        running.done(1, count="2")
        for number in (2, 3):
            running.sent(number)
            running.begin(number, count=str(number))
            running.done(number, count=str(number + 1))
        idle, cell, comm = (copy.deepcopy(running) for _ in range(3))
        cell.sent(4)
        cell.begin(4, count="4")
        comm.sent(4, "comm_msg")
        comm.begin(4, count="4")
        for one in (idle, cell, comm):
            report = one.transcript.died(1, facts)[-1].event.report.plain
            assert "what In [2] to [3] did to them is lost" in " ".join(report.split())

    def test_tells_of_no_cell_that_was_not_counted(self, running):
        """G41: a silent or an empty cell has no number, as the worker says when it ends."""
        running.record(Kind.HELLO)
        running.done(1, count="2")
        running.sent(2)
        running.begin(2, count="2")
        running.done(2, count="2")
        assert running.transcript.next_count == 2
        facts = CRASH._replace(outcome=Outcome(restored=True, after=1))
        report = running.transcript.died(1, facts)[-1].event.report.plain
        assert "Its variables are back" in report

    def test_counts_a_cell_that_begins_while_another_ends(self, running):
        """G41: a subshell may have taken a number that the ending cell's thread had not seen."""
        running.sent(2, subshell="s")
        running.begin(2, count="2")
        running.done(1, count="2")
        assert running.transcript.next_count == 3

    def test_gives_the_reply_what_the_error_has(self, running):
        """G19: ename, evalue and traceback are the same; there is an execution_count."""
        running.done(1)
        running.sent(2)
        running.begin(2, count="17")
        actions = running.transcript.died(1, CRASH)
        (error,) = (
            json.loads(action.content)
            for action in actions
            if isinstance(action, Publish) and action.msg_type == "error"
        )
        (reply,) = (
            json.loads(action.event.content)
            for action in actions
            if not isinstance(action, Publish) and isinstance(action.event, events.Reply)
        )
        assert reply == error | {
            "status": "error", "execution_count": 17, "user_expressions": {}, "payload": [],
        }  # fmt: skip
        assert error["ename"] == "KernelKilled"
        assert error["evalue"] in " ".join(error["traceback"])

    def test_in_another_request_has_a_reply_of_that_kind(self, teller):
        """G9, G19: completion can crash the interpreter, too, and what waits is aborted."""
        teller.sent(3, "complete_request")
        teller.begin(3)
        assert teller.died() == [
            "gone 1", "error 3 KernelKilled", "idle 3", "reply 3 complete_reply error aborting",
            "buried 1",
        ]  # fmt: skip

    def test_between_requests_is_told_on_stderr(self, teller):
        """G22: no cell has an error; the text has an empty parent."""
        teller.record(Kind.HELLO)
        teller.run(1)
        teller.out(1, "late")
        assert teller.died() == [
            "stdout 1 'late'", "gone 1", "stderr - (KernelKilled)", "buried 1",
        ]  # fmt: skip

    def test_before_a_request_began_leaves_it_to_the_next_worker(self, teller):
        """G21, G22: what the worker never began was not run, and so can be sent again."""
        teller.record(Kind.HELLO)
        teller.sent(1)
        assert teller.died() == [
            "gone 1", "unbegun 1", "stderr - (KernelKilled)", "buried 1",
        ]  # fmt: skip
        teller.attach(2)
        assert teller.sent(1, retried=True) == []
        assert teller.begin(1) == ["busy 1"]

    def test_before_a_request_began_for_the_second_time_is_told_to_it(self, teller):
        """G9, G19: a request does not wait for ever for a worker that lives; it is told once."""
        teller.record(Kind.HELLO)
        teller.sent(1, retried=True)
        assert teller.died() == [
            "gone 1",
            "busy 1", "error 1 KernelKilled", "idle 1", "reply 1 execute_reply error aborting",
            "buried 1",
        ]  # fmt: skip

    def test_before_hello_is_told_to_nobody(self, teller):
        """G25: the next worker may do better; the third that fails is told to who asks."""
        assert teller.died() == ["gone 1", "buried 1"]

    def test_that_was_asked_for_alarms_nobody(self, teller):
        """G31: when the kernel ends, a death is an end; whoever waits is still answered (G9)."""
        teller.record(Kind.HELLO)
        teller.sent(1)
        assert teller.died(STOPPING) == [
            "gone 1", "busy 1", "error 1 KernelStopped", "idle 1", "reply 1 execute_reply error",
            "buried 1",
        ]  # fmt: skip

    def test_by_exit_is_no_crash(self, teller):
        """G22: a user who says exit() is told nothing, and comms are closed like after any end."""
        teller.record(Kind.HELLO)
        teller.sent(1)
        teller.begin(1)
        teller.comm(1, "comm_open")
        teller.done(1)
        assert teller.record(Kind.LEAVING) == ["gone 1", "leaving 1"]
        assert teller.died(LEFT) == ["gone 1", "comm_close - c", "buried 1"]

    def test_by_exit_sends_what_waits_to_the_next_worker(self, teller):
        """G9, G22: a request that was on its way when the interpreter left is not lost."""
        teller.record(Kind.HELLO)
        teller.record(Kind.LEAVING)
        teller.sent(2)
        assert teller.died(LEFT) == ["gone 1", "unbegun 2", "buried 1"]

    def test_that_we_caused_is_told_with_our_reason(self, running):
        """G26: a worker that was ended for what it wrote says so in the cell."""
        ended = Ended("KernelMisbehaved", "It wrote a message that cannot be.")
        assert "error 1 KernelMisbehaved" in running.died(Facts(-9, 123, ended=ended))

    def test_leaves_half_a_character_as_such(self, running):
        """G18: what cannot be read any more is shown, not dropped."""
        running.captured(1, b"\xf0\x9f")
        assert running.died()[0] == "stdout 1 '\ufffd'"

    def test_is_told_with_what_native_code_wrote_last(self, running):
        """G19: the cell's own last words on descriptor 2 stand in the report, nobody else's."""
        running.captured(2, b"of cell 1\n")
        running.done(1, marks=(0, 10))
        running.captured(2, b"late, of nobody\n")
        running.sent(2)
        running.begin(2, marks=(0, 26))
        running.captured(2, b"free(): invalid pointer\n")
        actions = running.transcript.died(1, CRASH)
        (error,) = (
            json.loads(action.content)["traceback"]
            for action in actions
            if isinstance(action, Publish) and action.msg_type == "error"
        )
        assert "free(): invalid pointer" in error
        assert not {"of cell 1", "late, of nobody"} & set(error)


class TestGenerations:
    def test_begin_after_the_last_one_has_ended(self, teller):
        """G23: a worker is attached when the one before it is buried."""
        with pytest.raises(AssertionError, match="worker 1 is still attached"):
            teller.transcript.attach(2)

    def test_begin_anew(self, running):
        """G23: nothing of the dead worker is left: not its numbers, bytes, marks or counts."""
        running.captured(1, b"four")
        running.died()
        running.attach(2)
        assert running.transcript.missing(record(Kind.STDOUT, 0, "x", marks=(3, 0))) == (3, 0)
        assert running.publish(1) == ["display_data -"]
        running.captured(1, b"new")
        running.settle()
        assert running.due() == ["stdout - 'new'"]
        assert running.record(Kind.HELLO) == ["hello 2"]

    def test_that_are_over_are_dead_once(self, running):
        """G19, G23: a second notice of the same death, or one that comes late, is nothing."""
        running.died()
        assert running.died() == []
        running.attach(2)
        assert running.died(generation=1) == []

    def test_that_are_over_take_no_request(self, running):
        """G21: a request that crosses the death of its worker comes back to Shell at once."""
        running.died()
        assert running.sent(2) == ["unbegun 2"]
        running.attach(2)
        assert running.sent(2, generation=1) == ["unbegun 2"]
        assert running.sent(2) == []


NONSENSE = {
    "a request begins that was not sent": record(Kind.BEGIN, 7, "1", b""),
    "a request begins twice": record(Kind.BEGIN, 1, "2", b""),
    "a cell begins that was not sent": record(Kind.BEGIN_CELL, 7, "1", b"", "{}"),
    "a cell begins twice": record(Kind.BEGIN_CELL, 1, "2", b"", "{}"),
    "another request is done": record(Kind.DONE, 2, "1", "0", "execute_reply", "{}", "{}"),
    "a reply of another kind": record(Kind.DONE, 1, "1", "0", "complete_reply", "{}", "{}"),
    "no reply where one is due": record(Kind.DONE, 1, "1", "0", "", "{}", "{}"),
    "a reply with an odd name": record(Kind.DONE, 1, "1", "0", b"\xff", "{}", "{}"),
    "a count that is none": record(Kind.DONE, 1, "one", "0", "execute_reply", "{}", "{}"),
    "an endless count": record(Kind.DONE, 1, "9" * 5_000, "0", "execute_reply", "{}", "{}"),
    "a count in other digits": record(Kind.DONE, 1, "\u0661", "0", "execute_reply", "{}", "{}"),
    "an input of another request": record(Kind.INPUT, 2, "{}", "p"),
    "a status": record(Kind.PUBLISH, 1, "status", '{"execution_state":"idle"}', "{}"),
    "a welcome": record(Kind.PUBLISH, 1, "iopub_welcome", "{}", "{}"),
    "a comm message on the wrong way": record(Kind.PUBLISH, 1, "comm_open", "{}", "{}"),
    "a message without a name": record(Kind.PUBLISH, 1, "", "{}", "{}"),
    "a message with an odd name": record(Kind.PUBLISH, 1, "Display Data\n", "{}", "{}"),
    "a message with a long name": record(Kind.PUBLISH, 1, "a" * 65, "{}", "{}"),
    "a comm message that is none": record(Kind.COMM, 1, "c", "t", "comm_info", "{}", "{}"),
    "a comm with an odd id": record(Kind.COMM, 1, b"\xff", "t", "comm_open", "{}", "{}"),
    "a comm with an odd target": record(Kind.COMM, 1, "c", b"\xff", "comm_open", "{}", "{}"),
    "an accepted comm with an odd id": record(Kind.COMM_ACCEPTED, 0, b"\xff", "t"),
    "a forgotten comm with an odd id": record(Kind.COMM_FORGOTTEN, 0, b"\xff"),
    "text that is none": record(Kind.STDOUT, 1, b"\xff"),
    "an error text that is none": record(Kind.STDERR, 1, b"\xff"),
    "a second hello": record(Kind.HELLO),
    "a request": record(Kind.REQUEST, 1, "execute_request", "{}", "{}", "{}"),
    "an answer to input": record(Kind.INPUT_REPLY, 1, "{}", "p"),
}


class TestARecordThatCannotBe:
    @pytest.mark.parametrize("name", NONSENSE)
    def test_is_refused_and_changes_nothing(self, name):
        """G18, G26: the worker is not believed any more; what it had said is all published."""
        stories = []
        for nonsense in (None, NONSENSE[name]):
            teller = Teller()
            teller.record(Kind.HELLO)
            teller.sent(1)
            told = teller.begin(1) + teller.comm(1, "comm_open") + teller.out(1, "text, ")
            teller.captured(1, b"bytes")
            teller.captured(2, b"more")
            if nonsense is not None:
                with pytest.raises(RecordError):
                    teller.transcript.record(nonsense._replace(marks=(5, 4)))
            told += teller.settle() + teller.comm_info(9) + teller.died()
            stories.append(told)
        assert stories[0] == stories[1]

    @pytest.mark.parametrize(
        "parts", [("one", b""), ("-1", b""), ("", b""), ("9" * 19, b""), ("1", b"\0" * 7)]
    )
    def test_at_the_beginning_of_a_request_leaves_it_unbegun(self, teller, parts):
        """G9, G26: a BEGIN that cannot be read begins nothing."""
        teller.record(Kind.HELLO)
        teller.sent(1)
        for kind, code in (Kind.BEGIN, ()), (Kind.BEGIN_CELL, ("{}",)):
            with pytest.raises(RecordError):
                teller.record(kind, 1, *parts, *code)
        assert "unbegun 1" in teller.died()

    @pytest.mark.parametrize("kind", [Kind.DONE, Kind.INPUT])
    def test_before_the_request_has_begun_is_refused(self, teller, kind):
        """G2, G26: nothing of a request comes before its BEGIN."""
        teller.sent(1)
        parts = ["1", "0", "execute_reply", "{}", "{}"] if kind is Kind.DONE else ["{}", "p"]
        with pytest.raises(RecordError):
            teller.record(kind, 1, *parts)

    def test_is_no_line_of_the_log(self, running):
        """G26: what is only logged may be anything; it is shown as well as it can be."""
        assert running.record(Kind.LOG, 0, b"\xff", b"odd \xff") == ["log \ufffd: odd \ufffd"]
