"""The transcript in a world where everything can happen at any moment: every order is tried.

Each test describes a small world (see ``world``) and names the promises that are about it; all the
promises are checked in every world, at the end of every schedule.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import NamedTuple

import pytest
from world import World, every_schedule

PAIRED = ("busy", "idle")
NOTICES = ("reply", "over", "control", "unbegun", "input", "gone", "hello", "buried", "log")
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
        if wrote[one.what].sender == "main":
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
    workers = [one.msg_id for one in world.arrived if one.msg_type in WORKERS]
    pairs = [(one.what, one.parent) for one in messages if one.what in PAIRED]
    expected = [(word, msg_id) for msg_id in workers for word in PAIRED]
    assert [pair for pair in pairs if pair[1] in workers] == expected
    alone = [pair for pair in pairs if pair[1] not in workers]
    assert [len(list(group)) for _, group in groupby(alone, lambda pair: pair[1])] == [2] * (
        len(alone) // 2
    )


def check_deaths(world):
    """G19 to G22: a death is told once, to the request that ran or else to nobody's stderr."""
    errors = 0
    for generation, running in world.deaths:
        if world.life.stopping:
            continue
        at = world.told.index(f"gone {generation}")
        story = world.told[at + 1 : world.told.index(f"buried {generation}")]
        if running:
            errors += 1
            name = next(one.msg_type for one in world.arrived if one.msg_id == running)
            assert story[:2] == [f"error {running} KernelKilled", f"idle {running}"]
            assert story[2].startswith((f"reply {running} ", f"over {running} "))
            assert story[2].endswith("error aborting" if name.endswith("request") else "aborting")
        else:
            assert story.count("stderr - (KernelKilled)") == 1
    if not world.life.stopping and len(world.deaths) < 2:
        assert sum(line.startswith("error") for line in world.told) == errors
        check_aborted(world)


def check_aborted(world):
    """G11, G21: what waited at a failure is aborted; what came after its reply is run."""
    waiting = {one.msg_id for arrived in world.aborts for one in arrived}
    for one in world.arrived:
        if one.msg_type != "execute_request":
            continue
        (reply,) = (line for line in world.replies if line.startswith(f"reply {one.msg_id} "))
        if one.msg_id in waiting:
            assert "aborted" in reply or before(world, reply, world.replies)
        else:
            assert "aborted" not in reply


def before(world, reply, replies):
    """Tell whether this reply came before, or was, the first that aborted what waited."""
    first = next(at for at, line in enumerate(replies) if line.endswith("aborting"))
    return replies.index(reply) <= first


def check_comms(world):
    """G13, G14, G17: comms open, speak, close; who asks gets what it must already know."""
    seen, closed, asked = set(), set(), {}
    spoken = {}
    for line in world.told:
        name, parent, comm_id = [*line.split(" ", 2), ""][:3]
        match name:
            case "comm_open":
                assert comm_id not in spoken, "opened twice"
                seen.add(comm_id)
                spoken[comm_id] = True
            case "comm_msg":
                assert spoken[comm_id], "a message of a comm that is not open"
            case "comm_close":
                spoken[comm_id] = False
                seen.discard(comm_id)
            case "(comm_close":
                comm_id = comm_id.rstrip(")")
                seen.discard(comm_id)
                closed.add(comm_id)
            case "(comm_info_request":
                asked[parent.rstrip(")")] = set(seen), set(closed)
            case "gone":
                dying = True
            case "busy" if "dying" in locals() and dying:
                assert not seen, "left open by a dead worker"
                dying = False
            case "reply" if "comm_info_reply" in line:
                listed = {one.split(":")[0] for one in line.split()[3].split(",")} - {"none"}
                knew, gone = asked[parent]
                assert knew & seen <= listed, "a comm that its client has seen"
                assert not listed & gone, "a comm that its client has closed"


def try_all(*args, at_least, **options):
    """Check a world at the end of each of its schedules; tell the different things it said."""
    worlds = every_schedule(lambda: World(*args, **options))
    stories = set()
    for world in worlds:
        check(world)
        stories.add(tuple(world.told))
    return stories
