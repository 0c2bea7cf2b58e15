"""The transcript in a world where everything can happen at any moment: every order is tried.

Each test describes a small world (see ``world``) and names the promises that are about it; all the
promises are checked in every world, at the end of every schedule.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import ClassVar, NamedTuple

import pytest
from bulkhead_kernel.shared.records import Kind
from bulkhead_kernel.supervisor import transcript as transcripts
from bulkhead_kernel.supervisor.lifecycle import LifecycleError
from bulkhead_kernel.supervisor.transcript import Transcript
from world import World, every_schedule

PAIRED = ("busy", "idle")
NOTICES = ("reply", "over", "control", "unbegun", "input", "gone", "hello", "buried", "log")
SHELLS = ("main", "s")
WORKERS = ("execute_request", "complete_request", "comm_open", "comm_msg", "comm_close")


class Said(NamedTuple):
    """One message on IOPub; text of streams letter by letter."""

    what: str
    parent: str
    at: int  # its place in everything that was told


def said(world):
    """List what was published, as what the workers have written is listed."""
    messages = []
    for at, line in enumerate(world.told):
        name, parent, rest = [*line.split(" ", 2), ""][:3]
        if name in NOTICES or name.startswith("("):
            continue
        if name in ("stdout", "stderr"):
            letters = rest[1:-1] if rest.startswith("'") else [rest]
            messages += [Said(letter, parent, at) for letter in letters]
        else:
            messages.append(Said(f"{name} {rest}".strip(), parent, at))
    return messages


def check(world):
    """Hold every promise against what happened."""
    messages = said(world)
    check_written(world, messages)
    check_requests(world, messages)
    check_deaths(world)
    check_comms(world)
    assert world.told.count("starting -") == 1  # G34


def check_written(world, messages):
    """G1, G4, G6, G18, G23: what was written is published, in order, once, under its request."""
    published = [one for one in messages if one.what in {wrote.what for wrote in world.written}]
    own = ("comm_close c", "-")  # told by the kernel itself, after a death
    published = [one for one in published if one[:2] != own]
    wrote = {one.what: one for one in world.written}
    assert Counter(one.what for one in published) == Counter(list(wrote))
    for sender in {one.sender for one in world.written}:
        order = [one.what for one in world.written if one.sender == sender]
        assert [one.what for one in published if wrote[one.what].sender == sender] == order
    for one in published:
        assert one.parent in wrote[one.what].parents, one
        if wrote[one.what].sender in SHELLS:
            assert one.at < world.told.index(f"idle {one.parent}")
    generations = [wrote[one.what].generation for one in published]
    assert generations == sorted(generations)


def check_requests(world, messages):
    """G2, G3, G8, G9, G10: one busy, one idle, one reply for each request, and in what order."""
    arrived = [one.msg_id for one in world.arrived]
    for msg_id in arrived:
        of_it = [one.what for one in messages if one.parent == msg_id]
        assert of_it[0] == "busy"
        assert of_it.count("busy") == of_it.count("idle") == 1
        ends = [f"over {msg_id}", f"reply {msg_id} "]
        replies = [line for line in world.told if line.startswith(tuple(ends))]
        assert len(replies) == 1
        assert world.told.index(f"idle {msg_id}") < world.told.index(replies[0])
        assert world.replies.count(replies[0]) == 1
    pairs = [(one.what, one.parent) for one in messages if one.what in PAIRED]
    workers = [one.msg_id for one in world.arrived if one.msg_type in WORKERS]
    for subshell in {one.subshell for one in world.arrived}:
        its = [one.msg_id for one in world.arrived if one.subshell == subshell]
        its = [msg_id for msg_id in its if msg_id in workers]
        found = [pair for pair in pairs if pair[1] in its]
        its = [msg_id for msg_id in its if msg_id not in taken_by_cells(world, found)]
        expected = [(word, msg_id) for msg_id in its for word in PAIRED]
        assert [pair for pair in found if pair[1] in its] == expected
    alone = [pair for pair in pairs if pair[1] not in workers]
    assert [len(list(group)) for _, group in groupby(alone, lambda pair: pair[1])] == [2] * (
        len(alone) // 2
    )


def taken_by_cells(world, pairs):
    """G10: list the comm messages that a cell before them took while it awaited something."""
    arrived = {one.msg_id: one.msg_type for one in world.arrived}
    order, taken, cell = list(arrived), [], ""
    for at, (word, msg_id) in enumerate(pairs):
        if arrived[msg_id] == "execute_request":
            cell = msg_id if word == "busy" else ""
        elif word == "busy" and cell in world.awaiting:
            assert pairs[at + 1] == ("idle", msg_id)
            assert order.index(cell) < order.index(msg_id)
            taken.append(msg_id)
    return taken


def check_deaths(world):
    """G19 to G22: a death is told once, to the request that ran or else to nobody's stderr."""
    for generation, running in world.deaths:
        at = world.told.index(f"gone {generation}")
        story = world.told[at + 1 : world.told.index(f"buried {generation}")]
        errors = [line.split()[1] for line in story if line.startswith("error")]
        on_stderr = story.count("stderr - (KernelKilled)")
        if world.life.stopping:
            assert on_stderr == 0
        elif running:
            for msg_id in running:
                begin = story.index(f"error {msg_id} KernelKilled")
                assert story[begin + 1] == f"idle {msg_id}"
                end = story[begin + 2]
                if end != f"over {msg_id}":  # a comm message, which aborts nothing
                    assert end.startswith(f"reply {msg_id} ")
                    assert end.endswith("error aborting")
            # What is new to a second worker in a row, and not begun, is told with them.
            assert set(running) <= set(errors)
            assert len(errors) == len(set(errors))
            assert on_stderr == 0
        else:
            # What a second worker in a row did not begin is told so (and it is told of nobody else
            # then); a worker that never said hello is told when no more are started (G25).
            greeted = f"hello {generation}" in world.told
            assert len(errors) + on_stderr == (greeted or bool(errors))
            assert len(errors) == 0 or generation > 1
    if not world.life.stopping:
        check_aborted(world)


def check_aborted(world):
    """G11, G21: what waited at a failure is aborted; what came after its reply is not.

    In the same shell, that is. What shells do to each other's queues is nothing.
    """
    for subshell in {one.subshell for one in world.arrived}:
        check_aborted_in(world, [one for one in world.arrived if one.subshell == subshell])


def check_aborted_in(world, its):
    """Hold that against what happened in one shell."""
    own = {one.msg_id for one in its}
    waiting = {one.msg_id for arrived in world.aborts for one in arrived} & own
    until = [
        at
        for at, line in enumerate(world.replies)
        if line.endswith("aborting") and line.split()[1] in own
    ][:1]
    for one in its:
        if one.msg_type == "execute_request":
            (at,) = (at for at, line in enumerate(world.replies) if f"reply {one.msg_id} " in line)
            must = one.msg_id in waiting and at > until[0]
            assert world.replies[at].endswith("aborted") == must


def check_comms(world):
    """G13, G14, G17: comms open, speak, close; who asks gets what it must already know."""
    is_open, seen, closed, asked = {}, set(), set(), {}
    dying = False
    for line in world.told:
        name, msg_id, comm_id = [*line.strip("()").split(" ", 2), ""][:3]
        if name == "gone":
            dying = True
        elif name == "busy" and dying:
            assert not any(is_open.values()), "a comm outlived its worker"
            dying = False
        elif name == "comm_open":
            assert comm_id not in is_open
            is_open[comm_id] = True
            seen.add(comm_id)
        elif name == "comm_msg":
            assert is_open[comm_id]
        elif line.startswith("(comm_close"):
            closed.add(comm_id)
            seen.discard(comm_id)
        elif name == "comm_close":
            assert is_open.get(comm_id, True)
            is_open[comm_id] = False
            seen.discard(comm_id)
        elif name == "comm_info_request":
            asked[msg_id] = set(seen), set(closed)
        elif name == "reply" and "comm_info_reply" in comm_id:
            listed = {one.split(":")[0] for one in line.split()[3].split(",")} - {"none"}
            knew, gone = asked[msg_id]
            assert knew & seen <= listed, "a comm that its client has seen is not listed"
            assert not listed & gone, "a comm that its client has closed is listed"


def try_all(*world, **options):
    """Check a world at the end of each of its schedules; give all that was told in them."""
    stories = set()
    for one in every_schedule(lambda: World(*world, **options)):
        check(one)
        stories.add(tuple(one.told))
    return stories


CELL = "execute_request"


class TestOneWorker:
    def test_cells_of_two_clients(self):
        """G1, G2, G3, G6, G9, G10: every kind of output of two cells stays in its cell, in order,
        whoever comes first and however the pipes are read.
        """
        cells = {"1": ["print A", "write B", "warn C", "show d"], "2": ["write F", "print G"]}
        stories = try_all(cells, [f"{CELL} 1"], [f"{CELL} 2"])
        assert (
            "starting -", "hello 1",
            "busy 1", "execute_input 1", "stdout 1 'AB'", "stderr 1 'C'", "d 1", "idle 1",
            "reply 1 execute_reply ok",
            "busy 2", "execute_input 2", "stdout 2 'FG'", "idle 2", "reply 2 execute_reply ok",
        ) in stories  # fmt: skip

    def test_a_thread_that_outlives_its_cell(self):
        """G4: what a thread prints belongs to the cell that started it, whatever runs then."""
        cells = {"1": ["thread print Z", "print A"], "2": ["print B"]}
        stories = try_all(cells, [f"{CELL} 1", f"{CELL} 2"])
        assert any("stdout 1 'Z'" in story[story.index("busy 2") :] for story in stories)

    def test_a_child_that_outlives_its_cell(self):
        """G4, G6: what a child writes belongs to the cell that runs then, or else to the newest."""
        cells = {"1": ["child write Z", "print A"], "2": ["print B"]}
        stories = try_all(cells, [f"{CELL} 1", f"{CELL} 2"])
        assert any("stdout 2 'Z'" in story for story in stories)
        assert any(
            "stdout 1 'Z'" in story[story.index("idle 1") : story.index("busy 2")]
            for story in stories
        )

    def test_a_child_that_writes_while_a_record_is_written(self):
        """G6: bytes that come between a record's count and its last byte disturb nobody's order."""
        cells = {"1": ["child write Z", "print A", "write B"]}
        try_all(cells, [f"{CELL} 1"], torn=True)

    def test_a_failure_with_cells_behind_it(self):
        """G11: cells behind a failed one are aborted, each in its own pair; comms are not."""
        cells = {"1": ["print A", "fail"], "2": ["print B"]}
        stories = try_all(cells, [f"{CELL} 1; {CELL} 2; comm_msg 3 c"])
        assert {story[-6:] for story in stories} == {
            (
                "busy 2", "idle 2", "reply 2 execute_reply aborted",
                "busy 3", "idle 3", "over 3",
            ),
        }  # fmt: skip

    def test_a_cell_that_is_sent_when_the_failure_is_seen(self):
        """G11: who sends after the failed cell's reply is not aborted for it."""
        cells = {"1": ["fail"], "2": ["print B"]}
        stories = try_all(cells, [f"{CELL} 1", "get 1", f"{CELL} 2"])
        assert {story[-1] for story in stories} == {"reply 2 execute_reply ok"}

    def test_a_question_that_the_supervisor_answers(self):
        """G2, G3, G8: its pair may stand inside another one, and is whole wherever it stands."""
        cells = {"1": ["thread print Z", "print A"]}
        stories = try_all(cells, [f"{CELL} 1"], ["kernel_info_request 8"])
        assert any(story.index("busy 1") < story.index("busy 8") for story in stories)
        assert any(story.index("idle 8") < story.index("busy 1") for story in stories)


class TestComms:
    def test_that_the_kernel_opens_and_closes(self):
        """G13, G14: whoever asks at whatever moment is told what it has seen."""
        cells = {"1": ["comm_open c", "comm_msg c", "comm_close c"]}
        stories = try_all(cells, [f"{CELL} 1"], ["comm_info_request 8"])
        answers = {line for story in stories for line in story if line.startswith("reply 8")}
        assert answers == {"reply 8 comm_info_reply none", "reply 8 comm_info_reply c:t"}

    def test_that_are_closed_from_both_ends(self):
        """G14, G16: a close that crosses another one is answered, and the comm is closed once."""
        cells = {"1": ["comm_open c", "comm_close c"], "5": ["forget c"]}
        asking = ["see comm_open 1 c", "comm_close 5 c", "comm_info_request 9"]
        stories = try_all(cells, [f"{CELL} 1"], asking)
        assert all("reply 9 comm_info_reply none" in story for story in stories)

    def test_that_a_client_opens_and_closes_at_once(self):
        """G14: a comm is not listed once its client has closed it, accepted or not."""
        cells = {"3": ["accept c"], "4": ["forget c"]}
        asking = ["comm_open 3 c", "comm_close 4 c", "comm_info_request 9"]
        stories = try_all(cells, asking)
        assert all("reply 9 comm_info_reply none" in story for story in stories)

    def test_that_a_client_has_opened(self):
        """G14: a comm that its client knows to be accepted is listed."""
        asking = ["comm_open 3 c", "see idle 3", "comm_info_request 7"]
        stories = try_all({"3": ["accept c"]}, asking)
        assert all("reply 7 comm_info_reply c:t" in story for story in stories)

    def test_that_a_cell_awaits(self):
        """G10, G13: the answer is taken inside of the cell, ahead of the cell behind it."""
        cells = {"1": ["comm_open c", "expect", "print A"], "5": ["comm_msg c"]}
        stories = try_all(cells, [f"{CELL} 1; {CELL} 2", "see comm_open 1 c", "comm_msg 5 c"])
        assert {tuple(line for line in story if line[-1] in "15c" or "'A'" in line)
                for story in stories} == {(
            "hello 1", "busy 1", "execute_input 1", "comm_open 1 c",
            "busy 5", "comm_msg 5 c", "idle 5", "over 5", "stdout 1 'A'", "idle 1",
        )}  # fmt: skip

    def test_that_a_cell_takes_or_does_not(self):
        """G3, G9, G10: what comes too late for the cell is handled in its place, once."""
        cells = {"1": ["await", "print A"], "5": ["print B", "write C"], "6": ["print D"]}
        asked = [f"{CELL} 1; {CELL} 2", "comm_msg 5 c", "comm_msg 6 c"]
        stories = try_all(cells, asked, swift=True)
        places = {(story.index("busy 5") < story.index("idle 1"),
                   story.index("busy 6") < story.index("idle 1")) for story in stories}  # fmt: skip
        assert places == {(True, True), (True, False), (False, False)}

    def test_that_a_cell_has_been_offered_when_it_dies(self):
        """G9, G16, G19, G21: what it took is told of the death with it; the rest is the next's."""
        cells = {"1": ["await"], "5": ["print B"]}
        stories = try_all(cells, [f"{CELL} 1; {CELL} 2", "comm_msg 5 c"], deaths=1, swift=True)
        assert any("error 5 KernelKilled" in story for story in stories)
        assert any(
            story.index("buried 1") < story.index("busy 5") for story in stories
            if "error 1 KernelKilled" in story and "buried 1" in story
        )  # fmt: skip
        back = [story for story in stories if "unbegun 5" in story]
        assert {story.index("unbegun 5") < story.index("gone 1") for story in back} == {True, False}

    def test_that_find_no_target(self):
        """G15: an open for an unknown target is answered by a close, in its pair."""
        asking = ["comm_open 3 c", "comm_msg 4 c", "comm_info_request 7"]
        stories = try_all({"3": ["comm_close c"]}, asking)
        for story in stories:
            assert story.index("busy 3") < story.index("comm_close 3 c") < story.index("idle 3")
            assert "reply 7 comm_info_reply none" in story


class TestSubshells:
    """What runs at once, and who waits for whom."""

    def test_run_beside_the_main_shell(self):
        """G1 to G4, G10: each shell's requests in order, with their own output; no other order."""
        cells = {"1": ["print A"], "2": ["print B"]}
        stories = try_all(cells, [f"{CELL} 1; {CELL}@s 2; {CELL}@s 3"], swift=True)
        assert any(
            story.index("busy 1") < story.index("idle 3") < story.index("idle 1")
            for story in stories
        )
        assert all(story.index("idle 2") < story.index("busy 3") for story in stories)

    def test_abort_what_is_their_own(self):
        """G11: a failure in one shell aborts nothing in another."""
        cells = {"1": ["fail"], "3": ["print C"]}
        asked = [f"{CELL} 1; {CELL}@s 3; {CELL} 2"]
        stories = try_all(cells, asked, swift=True)
        for story in stories:
            assert "reply 2 execute_reply aborted" in story
            assert "reply 3 execute_reply ok" in story

    def test_write_bytes_that_belong_to_who_runs(self):
        """G6: to the main shell's cell, if one runs; else to the subshell's."""
        cells = {"1": ["write A"], "2": ["write B"]}
        try_all(cells, [f"{CELL} 1"], [f"{CELL}@s 2"], swift=True)

    def test_end_with_the_worker(self):
        """G9, G18, G19, G21: each request that ran is told of the death, and none twice."""
        cells = {"1": ["print A"], "2": ["print B"]}
        stories = try_all(cells, [f"{CELL} 1; {CELL}@s 2"], deaths=1, swift=True)
        assert any("error 1 KernelKilled" in story and "error 2 KernelKilled" in story
                   for story in stories)  # fmt: skip
        assert any("error 1 KernelKilled" in story and "reply 2 execute_reply ok" in story
                   for story in stories)  # fmt: skip

    def test_speak_through_comms_while_a_cell_runs(self):
        """G13, G14: a comm that one shell opened is spoken through by the other, and closed."""
        cells = {"1": ["comm_open c"], "2": ["comm_close c"]}
        asking = ["see comm_open 1 c", "comm_msg@s 2 c", "see idle 2", "comm_info_request 9"]
        stories = try_all(cells, [f"{CELL} 1"], asking, swift=True)
        assert all("reply 9 comm_info_reply none" in story for story in stories)

    def test_end_because_the_kernel_does(self):
        """G9: whatever runs or waits in any shell gets its answer."""
        asked = [f"{CELL} 1; {CELL}@s 2"]
        stories = try_all({}, asked, shutdown=True, swift=True)
        assert any("error 1 KernelStopped" in story and "error 2 KernelStopped" in story
                   for story in stories)  # fmt: skip


class TestDeath:
    def test_at_any_moment_with_a_cell_behind(self):
        """G18, G19, G21, G22: whatever was written is told, then why, then who is aborted."""
        cells = {"1": ["print A", "write B"], "2": ["print D"]}
        stories = try_all(cells, [f"{CELL} 1; {CELL} 2"], deaths=1, swift=True)
        assert (
            "starting -", "hello 1",
            "busy 1", "execute_input 1", "stdout 1 'AB'",
            "gone 1", "error 1 KernelKilled", "idle 1", "reply 1 execute_reply error aborting",
            "buried 1", "busy 2", "idle 2", "reply 2 execute_reply aborted", "hello 2",
        ) in stories  # fmt: skip

    def test_at_any_moment_with_a_cell_that_waits_for_the_reply(self):
        """G21, G22, G23: a cell that is sent after the reply runs, perhaps on the next worker."""
        cells = {"1": ["print A"], "2": ["print B"]}
        stories = try_all(cells, [f"{CELL} 1", "get 1", f"{CELL} 2"], deaths=1, swift=True)
        ends = {story[-1] for story in stories}
        assert "reply 2 execute_reply ok" in ends
        assert "reply 2 execute_reply aborted" not in ends

    def test_at_any_byte(self):
        """G20: half a record is nothing, also for what is written around it."""
        cells = {"1": ["print A", "write B"]}
        try_all(cells, [f"{CELL} 1"], deaths=1, torn=True, swift=True)

    def test_while_a_message_of_a_comm_is_dealt_with(self):
        """G9, G19, G21: a request without a reply has its pair; cells behind it run."""
        stories = try_all({"2": ["print B"]}, ["comm_msg 1 c", f"{CELL} 2"], deaths=1, swift=True)
        assert any("error 1 KernelKilled" in story for story in stories)
        assert not any(line.endswith("aborted") for story in stories for line in story)

    def test_with_a_thread_and_a_child_at_work(self):
        """G18: what anybody had written is published before the end is told."""
        try_all({"1": ["thread print Z", "child write Y"]}, [f"{CELL} 1"], deaths=1, swift=True)

    def test_with_a_comm_open(self):
        """G17: the comms of a dead worker are closed before anything else is busy."""
        stories = try_all(
            {"1": ["comm_open c"]},
            [f"{CELL} 1", "see hello 2", "comm_info_request 9"],
            deaths=1,
            swift=True,
        )
        assert any("comm_close - c" in story for story in stories)

    def test_while_a_client_opens_and_closes_a_comm(self):
        """G14: a close that was sent to a dead worker is still a close."""
        asking = ["comm_open 3 c; comm_close 4 c", "see hello 2", "comm_info_request 9"]
        try_all({"3": ["accept c"]}, asking, deaths=1, swift=True)

    def test_twice(self):
        """G9, G23: each request ends once, whatever becomes of the workers it was meant for."""
        try_all({"1": ["print A"]}, [f"{CELL} 1"], deaths=2, swift=True)

    def test_from_the_first_moment(self):
        """G9, G22: a worker that dies while it starts takes nobody's request with it."""
        stories = try_all({"1": ["print A"]}, [f"{CELL} 1"], deaths=1, cold=True, swift=True)
        assert any(line == "hello 2" for story in stories for line in story)
        assert not any(line == "hello 1" for story in stories for line in story[:1])

    def test_three_times_while_starting(self):
        """G25: then no more are started, and whoever asks is told why."""
        asking = ["see gone 3", f"{CELL} 1"]
        stories = try_all({"1": []}, asking, deaths=3, cold=True, stillborn=True)
        assert (
            "starting -",
            "gone 1", "buried 1", "gone 2", "buried 2", "gone 3", "buried 3",
            "busy 1", "error 1 KernelKilled", "idle 1", "reply 1 execute_reply error",
        ) in stories  # fmt: skip

    def test_by_foreign_bytes_on_its_pipe(self):
        """G26: a worker that scribbles on its pipe costs itself; what it had said is published."""
        cells = {"1": ["print A", "write B", "garbage", "print C"], "2": ["print D"]}
        stories = try_all(cells, [f"{CELL} 1", "get 1", f"{CELL} 2"], swift=True)
        for story in stories:
            assert "error 1 KernelKilled" in story
            assert story[-1] == "reply 2 execute_reply ok"

    def test_by_exit_with_a_cell_behind(self):
        """G9, G22: a cell that waits when the user leaves is run by the next worker."""
        cells = {"1": ["print A", "exit"], "2": ["print B"]}
        stories = try_all(cells, [f"{CELL} 1; {CELL} 2"], swift=True)
        for story in stories:
            assert story[-1] == "reply 2 execute_reply ok"
            assert "stderr - (KernelKilled)" not in story

    def test_because_the_kernel_ends(self):
        """G9: whatever runs or waits when the kernel is told to end gets its answer."""
        stories = try_all({"1": ["print A"]}, [f"{CELL} 1; {CELL} 2"], shutdown=True, swift=True)
        assert any("error 2 KernelStopped" in story for story in stories)


class TestTheNet:
    """Is it fine enough? Each of these faults must be caught."""

    CELLS: ClassVar = {"1": ["comm_open c", "print A", "write B", "fail"], "2": ["print D"]}

    @pytest.mark.parametrize(
        "fault",
        [
            "idle after the reply's notice",
            "text is not pushed out",
            "captured bytes are not settled",
            "marks are ignored",
            "comms are left open",
            "the dead worker's text is lost",
            "a second death notice",
        ],
    )
    def test_catches(self, fault, monkeypatch):
        """Promises that no test would miss are not protected: each fault makes a world fail."""
        FAULTS[fault](monkeypatch)
        with pytest.raises((AssertionError, ValueError, LifecycleError)):
            try_all(self.CELLS, [f"{CELL} 1", f"{CELL} 2"], deaths=1, swift=True)


def _after_reply(patch):
    done = Transcript._done

    def late(self, record):
        idle, reply = done(self, record)
        return [reply, idle]

    patch.setitem(transcripts._HANDLERS, Kind.DONE, late)


def _lost_at_death(patch):
    died = Transcript.died

    def silent(self, *args):
        self.streams.take()
        return died(self, *args)

    patch.setattr(Transcript, "died", silent)


def _told_twice(patch):
    died = Transcript.died
    patch.setattr(
        Transcript, "died", lambda self, *args: [one for one in died(self, *args) for _ in "12"]
    )


def _comms_left(patch):
    died = Transcript.died

    def forget(self, *args):
        self._comms.clear()
        return died(self, *args)

    patch.setattr(Transcript, "died", forget)


FAULTS = {
    "idle after the reply's notice": _after_reply,
    "text is not pushed out": lambda patch: patch.setattr(Transcript, "_flush", lambda _: []),
    "captured bytes are not settled": lambda patch: patch.setattr(
        Transcript, "_release", lambda *_, **__: []
    ),
    "marks are ignored": lambda patch: patch.setattr(Transcript, "missing", lambda *_: (0, 0)),
    "comms are left open": _comms_left,
    "the dead worker's text is lost": _lost_at_death,
    "a second death notice": _told_twice,
}
