"""What a donor writes and an heir reads, without processes: nothing becomes another (G42)."""

from __future__ import annotations

import functools
import io
import os
import pickle
import sys
import typing
from types import FunctionType

import pytest

if sys.platform != "linux":
    pytest.skip("snapshots need Linux", allow_module_level=True)

from bulkhead_kernel.worker.recovery import donor, estate, rebuilding
from bulkhead_kernel.worker.recovery.estate import Estate, Out, Part, Surroundings
from bulkhead_kernel.worker.recovery.reasons import listed, reason
from bulkhead_kernel.worker.recovery.serializing import OneByOne, Whole, identities


@pytest.fixture
def memory():
    fd = estate.create()
    yield fd
    os.close(fd)


def cell(code):
    """Run the code of a cell; give its namespace."""
    namespace = {"__name__": "__main__"}
    exec(compile(code, "<cell>", "exec", dont_inherit=True), namespace)
    return namespace


def moved(memory, namespace, **values):
    """Serialize values and make them again, in an empty namespace; give both."""
    Whole(Out(memory, 0, 1 << 30), namespace, None).dump(values)
    fresh = {}
    rebuilding.build_into(fresh)
    with open(memory, "rb", closefd=False) as file:
        file.seek(0)
        return pickle.load(file), fresh


class TestFunctionsOfCells:
    def test_look_names_up_where_they_are_now(self, memory):
        """G42: the heir's namespace, and no copy of what was in the donor's."""
        namespace = cell("def f(): return x\nx = 1")
        values, fresh = moved(memory, namespace, f=namespace["f"])
        fresh["x"] = 2
        assert values["f"].__globals__ is fresh
        assert values["f"]() == 2

    def test_keep_all_that_they_have(self, memory):
        namespace = cell(
            "def f(a, b: int = 2, *, c='c') -> str:\n    'Says.'\n    return a, b, c\nf.note = 1"
        )
        f = moved(memory, namespace, f=namespace["f"])[0]["f"]
        assert type(f) is FunctionType
        assert f(1) == (1, 2, "c")
        assert (f.__doc__, f.note, f.__name__, f.__qualname__) == ("Says.", 1, "f", "f")
        assert f.__annotations__ == {"b": int, "return": str}
        assert f.__module__ == "__main__"

    def test_that_share_a_variable_still_do(self, memory):
        namespace = cell(
            "def make():\n    n = 0\n    def up():\n        nonlocal n; n += 1\n"
            "    def get(): return n\n    return up, get\nup, get = make()"
        )
        values, _ = moved(memory, namespace, up=namespace["up"], get=namespace["get"])
        values["up"]()
        assert values["get"]() == 1

    def test_that_call_themselves(self, memory):
        namespace = cell(
            "def make():\n    def f(n): return n * f(n - 1) if n else 1\n    return f\nf = make()"
        )
        f = moved(memory, namespace, f=namespace["f"])[0]["f"]
        assert f(5) == 120
        assert f.__closure__[0].cell_contents is f

    def test_with_an_empty_cell(self, memory):
        namespace = cell(
            "def make():\n    def f(): return later\n    if 0: later = 1\n    return f\nf = make()"
        )
        with pytest.raises(NameError):
            moved(memory, namespace, f=namespace["f"])[0]["f"]()

    def test_that_remember_their_results(self, memory):
        namespace = cell(
            "import functools\n@functools.lru_cache(maxsize=7)\ndef f(x): return x + 1"
        )
        f = moved(memory, namespace, f=namespace["f"])[0]["f"]
        assert f(1) == 2
        assert f.cache_info().maxsize == 7
        assert isinstance(f, type(functools.lru_cache(cell)))

    def test_methods_find_their_class(self, memory):
        namespace = cell(
            "class A:\n    def name(self): return 'a'\n"
            "class B(A):\n    def name(self): return super().name() + 'b'\nb = B()"
        )
        values, _ = moved(memory, namespace, b=namespace["b"], B=namespace["B"])
        assert values["b"].name() == "ab"
        assert type(values["b"]) is values["B"]

    def test_new_types(self, memory):
        namespace = cell("import typing\nName = typing.NewType('Name', str)")
        name = moved(memory, namespace, Name=namespace["Name"])[0]["Name"]
        assert isinstance(name, typing.NewType)
        assert name.__supertype__ is str
        assert name.__module__ == "__main__"


class TestArrays:
    @pytest.fixture(autouse=True)
    def numpy(self):
        self.np = pytest.importorskip("numpy")

    @pytest.mark.parametrize(
        "show",
        [
            lambda a: a[2:4],
            lambda a: a[::-2],
            lambda a: a.reshape(2, 5).T,
            lambda a: a[3:3],
            lambda a: a.view("i4"),
            lambda a: a.reshape(5, 2)[:, 1],
        ],
    )
    def test_a_view_stays_one(self, memory, show):
        """G42: writing into one shows in the other."""
        array = self.np.arange(10)
        values, _ = moved(memory, {}, array=array, view=show(array))
        assert self.np.array_equal(values["view"], show(array))
        assert self.np.array_equal(values["view"], show(values["array"]))
        values["array"][:] = 7
        assert self.np.array_equal(values["view"], show(values["array"]))

    def test_that_cannot_be_written_to(self, memory):
        array = self.np.arange(10)
        view = array[2:]
        view.flags.writeable = False
        values, _ = moved(memory, {}, view=view)
        assert not values["view"].flags.writeable

    def test_of_objects_and_of_records(self, memory):
        array = self.np.array([1, "x", None], object)
        record = self.np.zeros(3, [("a", "i4"), ("b", "f8")])
        values, _ = moved(memory, {}, objects=array[::-1], column=record["b"], f=record.T)
        assert list(values["objects"]) == [None, "x", 1]
        assert values["column"].shape == (3,)

    def test_in_files_are_refused(self, memory, tmp_path):
        """G42: one in memory is something else."""
        array = self.np.memmap(tmp_path / "file", "u1", "w+", shape=10)
        for what in (array, array[2:], self.np.asarray(array)[1:]):
            with pytest.raises(pickle.PicklingError, match="an array in a file"):
                moved(memory, {}, what=what)


class TestWhatIsRefused:
    def test_is_what_would_become_something_else(self, memory, tmp_path):
        """G42: by name, with words."""
        path = tmp_path / "file"
        path.write_text("x")
        with path.open() as text, path.open("rb") as data:
            for thing in (text, data, data.raw, text.buffer):
                with pytest.raises(pickle.PicklingError, match="an open file"):
                    moved(memory, {}, thing=thing)
        with pytest.raises(pickle.PicklingError, match="somebody else's memory"):
            moved(memory, {}, thing=memoryview(b"x"))
        values, _ = moved(memory, {}, text=io.StringIO("x"), data=io.BytesIO(b"y"))
        assert (values["text"].read(), values["data"].read()) == ("x", b"y")

    def test_is_what_there_is_no_room_for(self, memory):
        """G42: never half of it."""
        with pytest.raises(MemoryError):
            Whole(Out(memory, 0, 1000), {}, None).dump(bytes(1001))


class TestOneByOne:
    def test_names_what_is_a_variable_itself(self, memory):
        """G42: a value that contains another variable refers to it."""
        a = [1]
        variables = {"a": a, "b": {"a": a, "n": 300}, "n": 300, "same": a}
        known = identities(variables)
        assert known == {id(a): "a", id(variables["b"]): "b"}
        pickler = OneByOne(Out(memory, 0, 1 << 20), {}, None, known, ("b",))
        pickler.dump({"b": variables["b"]})
        assert pickler.needs == {"a"}
        pickler = OneByOne(Out(memory, 0, 1 << 20), {}, None, known, ("a",))
        pickler.dump({"a": a})
        assert pickler.needs == set()


def part(names, *needs):
    return Part(tuple(names.split()), 0, 0, needs)


class TestTheOrder:
    def test_what_is_contained_comes_first(self):
        lost = {}
        ordered = donor.in_order([part("c", "b"), part("b", "a"), part("a")], lost)
        assert [p.names[0] for p in ordered] == ["a", "b", "c"]
        assert lost == {}

    def test_what_contains_something_that_is_lost_is_lost(self):
        lost = {"x": "why"}
        assert donor.in_order([part("c", "b"), part("b", "x"), part("a")], lost) == [part("a")]
        assert lost == {"x": "why", "b": "it contains x", "c": "it contains b"}

    def test_a_circle_is_found(self):
        """But not what contains something lost besides."""
        parts = [part("a", "b"), part("b", "a"), part("c", "a"), part("d", "d2", "x"), part("e")]
        assert donor._knotted(parts, {"x": "why"}) == {"a", "b", "c"}


class TestAnEstate:
    def test_reads_as_it_was_written_and_stays_so(self, memory):
        left = Estate(
            False,
            (part("a b"), Part(("c",), 3, 9, ("a",))),
            (("d", "why"),),
            Surroundings("/tmp", ("", "x"), {"A": "ä\udc80"}, {"<cell>": "1\n2"}),
        )
        os.pwrite(memory, b"x" * 20, 0)
        estate.seal(memory, 9, left)
        assert estate.read(memory) == left
        with pytest.raises(PermissionError):
            os.pwrite(memory, b"y", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(memory, 0)


class TestReasons:
    def test_are_one_line_of_words(self):
        class MuteError(Exception):
            def __str__(self):
                raise ValueError

        assert reason(TypeError("cannot pickle 'generator'\n object")) == (
            "cannot pickle 'generator' object"
        )
        assert reason(ValueError("no\nway")) == "ValueError: no way"
        assert reason(KeyboardInterrupt()) == "KeyboardInterrupt"
        assert reason(MuteError()) == "MuteError"
        assert reason(pickle.PicklingError("an open file (x)")) == "an open file (x)"
        assert len(reason(ValueError("x" * 1000))) < 220

    def test_lists_fit_into_a_packet(self):
        assert listed(map(str, range(100))) == tuple(map(str, range(60)))
        assert sum(len(word.encode()) for word in listed(["\N{GRINNING FACE}" * 999] * 99)) < 24_000
