"""What is told of variables that were moved (G42), and what would be before anything happens."""

from __future__ import annotations

from bulkhead_kernel.supervisor.recovery_words import (
    Moved,
    Outcome,
    Standing,
    next_step,
    variables,
    would_be_left,
)

WHY = "libx has threads of its own, and cannot be copied"


def told(moved, last=4, *, after=4):
    return variables(Outcome(after=after, why_not=WHY, moved=moved), last)


class TestWhatIsTold:
    def test_names_what_moved_and_why(self):
        """G42: what is there, as of when, and why it is not the same interpreter."""
        assert told(Moved(("a", "b"), 2, (), 0, apart=False)) == [
            "2 variables were moved to a fresh interpreter, as they were after In [4]: a, b.",
            f"The interpreter itself could not be restored: {WHY}.",
        ]

    def test_one_is_one(self):
        """G42: in the singular."""
        first, *_ = told(Moved(("a",), 1, (), 0, apart=False))
        assert first == "1 variable was moved to a fresh interpreter, as it was after In [4]: a."

    def test_names_what_did_not_and_counts_the_rest(self):
        """G42: by name, each with its reason."""
        lines = told(Moved(("a", "b"), 10, ("c (no)", "d (never)"), 5, apart=True))
        assert lines[0].endswith(": a, b and 8 more.")
        assert "is several objects now" in lines[1]
        assert lines[2] == "Not moved: c (no); d (never) and 3 more."

    def test_tells_which_cells_are_lost(self):
        """G42: an older state is never taken for the newest."""
        moved = Moved(("a",), 1, (), 0, apart=False)
        lost = "Nothing was run again: what In [3] to [4] did to variables is lost."
        assert told(moved, after=2)[1] == lost
        outcome = Outcome(after=2, why_not=WHY, moved=moved, behind="it was busy")
        lines = variables(outcome, 4)
        assert lines[1:3] == [lost, "There was no newer snapshot: it was busy."]

    def test_nothing_moved_is_a_fresh_start(self):
        """G42: said as such, with every reason."""
        lines = told(Moved((), 0, ("g (cannot)",), 1, apart=False))
        assert lines[0].startswith("Its variables are gone.")
        assert lines[1:] == [f"They could not be restored: {WHY}.", "Not moved: g (cannot)."]


class TestTheNextStep:
    def test_is_what_is_missing(self):
        """G19, G42: one line of what to do."""
        some = Outcome(moved=Moved(("a",), 1, ("b (no)",), 1, apart=False))
        every = Outcome(moved=Moved(("a",), 1, (), 0, apart=False))
        none = Outcome(moved=Moved((), 0, (), 0, apart=False))
        assert next_step(some, ran=True) == (
            "Next: make what was not moved again, change this cell, and go on."
        )
        assert next_step(every, ran=True) == "Next: change this cell, and go on."
        assert next_step(every, ran=False) == "Next: go on."
        assert next_step(none, ran=True).startswith("Next: run the cells above")


class TestBefore:
    def test_a_donor_is_told_from_a_snapshot(self):
        """G42: nobody is promised everything."""
        standing = Standing(4, 123, 0.01, (), "", WHY)
        assert standing.as_json()["state"] == "movable"
        assert standing.as_json()["why_not"] == WHY
        assert would_be_left(standing) == (
            "what can be serialized of its variables is then moved to a fresh one, as it was "
            "after In [4]"
        )
        assert standing._replace(donor="").as_json()["state"] == "restorable"
        assert standing._replace(pid=0).as_json()["state"] == "none"
