"""Named tuples that are quick to define: what typing's do, ours do."""

from __future__ import annotations

import ast
import copy
import pickle
import typing
from importlib.resources import files
from pathlib import Path

import pytest
from bulkhead_kernel.shared.tuples import NamedTuple


class Theirs(typing.NamedTuple):
    """A point."""

    x: int
    names: tuple[str, ...] = ()

    @property
    def double(self) -> int:
        """Twice."""
        return 2 * self.x


class Ours(NamedTuple):
    """A point."""

    x: int
    names: tuple[str, ...] = ()

    @property
    def double(self) -> int:
        """Twice."""
        return 2 * self.x


class Nothing(NamedTuple):
    """Without a field."""


class Shown(NamedTuple):
    """With words of its own."""

    x: int

    def __repr__(self) -> str:
        return f"<{self.x}>"


@pytest.mark.parametrize(
    "ask",
    [
        lambda kind: kind(1),
        lambda kind: kind(1, ("a",)),
        lambda kind: kind(names=("a",), x=2),
        lambda kind: kind(1).double,
        lambda kind: kind(1).names,
        lambda kind: kind(1)._asdict(),
        lambda kind: kind(1)._replace(x=3),
        lambda kind: kind(1) == (1, ()),
        lambda kind: hash(kind(1)) == hash((1, ())),
        lambda kind: isinstance(kind(1), tuple),
        lambda kind: kind._fields,
        lambda kind: kind._field_defaults,
        lambda kind: kind.__match_args__,
        lambda kind: kind.__doc__,
        typing.get_type_hints,
        lambda kind: copy.deepcopy(kind(1)),
        lambda kind: [*kind(1)],
    ],
)
def test_they_are_as_typing_s_are(ask):
    """What is asked of typing's named tuples has the same answer here."""
    assert ask(Ours) == ask(Theirs)


@pytest.mark.parametrize(
    "do",
    [
        lambda kind: kind(),
        lambda kind: kind(1, 2, 3),
        lambda kind: kind(1, z=2),
        lambda kind: kind(1)._replace(z=2),
        lambda kind: setattr(kind(1), "x", 2),
        lambda kind: setattr(kind(1), "z", 2),
    ],
)
def test_they_refuse_what_typing_s_refuse(do):
    """A missing field, one too many, an unknown one, a change: all are errors, as ever."""
    with pytest.raises((TypeError, ValueError, AttributeError)):
        do(Theirs)
    with pytest.raises((TypeError, ValueError, AttributeError)):
        do(Ours)


def test_they_tell_what_they_are():
    """The words of one name its class and its fields, unless it has words of its own."""
    assert repr(Ours(1, ("a",))) == "Ours(x=1, names=('a',))"
    assert repr(Nothing()) == "Nothing()"
    assert repr(Shown(1)) == "<1>"


def test_one_without_fields_is_empty():
    """No field, no value; and it takes none."""
    assert Nothing() == ()
    with pytest.raises(TypeError):
        Nothing(1)


def test_they_match_and_survive_a_copy():
    """Patterns take them apart by place; a pickle brings them back."""
    match Ours(1, ("a",)):
        case Ours(x, names):
            assert (x, names) == (1, ("a",))
    assert pickle.loads(pickle.dumps(Ours(1))) == Ours(1)
    assert type(pickle.loads(pickle.dumps(Ours(1)))) is Ours


@pytest.mark.parametrize("package", ["shared", "supervisor", "worker"])
def test_what_every_start_imports_uses_no_others(package):
    """typing's cost a start 150 microseconds each: they are for kernelspec, and for tests."""
    folder = Path(str(files(f"bulkhead_kernel.{package}")))
    wrong = [
        path.name
        for path in folder.rglob("*.py")
        if path.name != "tuples.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and node.module == "typing"
        and "NamedTuple" in [alias.name for alias in node.names]
    ]
    assert wrong == []
