"""JSON as users write and read it: exact, tolerant, and never a message lost without a word."""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import math
import uuid
from collections import OrderedDict, UserDict, deque
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from bulkhead_kernel.worker import jsons
from hypothesis import given
from hypothesis import strategies as st

SURROGATE = "\ud800"
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=[])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=[])), inner, max_size=4)
    ),
    max_leaves=10,
)


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: float


def plain(value):
    """Encode; give what a client reads."""
    return json.loads(jsons.dumps(value).decode())


class TestRoundTrip:
    @given(PLAIN)
    def test_gives_back_what_was_sent(self, value):
        """G4: what JSON can say arrives as it was, lone surrogates and all."""
        assert jsons.loads(jsons.dumps(value)) == value
        assert plain(value) == value

    @given(st.integers())
    def test_of_integers_is_exact(self, value):
        """Integers beyond 64 bits are not rounded."""
        assert jsons.dumps(value) == str(value).encode()
        assert jsons.loads(str(value).encode()) == value

    def test_of_huge_integers_is_exact(self):
        """2 ** 10_000 is JSON, too."""
        assert plain([2**10_000]) == [2**10_000]
        assert jsons.loads(jsons.dumps({"n": -(10**400)})) == {"n": -(10**400)}


class TestWhatIsNoJson:
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_numbers_become_null(self, value):
        """NaN is no JSON: clients get null rather than a message that they cannot read."""
        assert plain(value) is None
        assert plain({"a": [value, 1.5]}) == {"a": [None, 1.5]}

    @pytest.mark.parametrize("value", [b"\0\xff", bytearray(b"\0\xff"), memoryview(b"\0\xff")])
    def test_bytes_become_base64(self, value):
        """PNG data is put into a display as bytes, and read as base64."""
        assert plain({"image/png": value}) == {"image/png": base64.b64encode(value).decode()}

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "2026-01-02T03:04:05.000006Z"),
            (datetime(2026, 1, 2, 3, 4), "2026-01-02T03:04:00"),  # noqa: DTZ001 - users have such
            (date(2026, 1, 2), "2026-01-02"),
            (time(3, 4), "03:04:00"),
        ],
    )
    def test_dates_become_iso_8601(self, value, expected):
        """Dates are text that every language reads."""
        assert plain([value]) == [expected]

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ((1, 2), [1, 2]),
            (range(3), [0, 1, 2]),
            ({1}, [1]),
            (frozenset({"a"}), ["a"]),
            (deque([1, 2]), [1, 2]),
            ({1: 2}.keys(), [1]),
            ((one for one in "ab"), ["a", "b"]),
            (OrderedDict(a=1), {"a": 1}),
            (UserDict(a=1), {"a": 1}),
            (MappingProxyType({"a": 1}), {"a": 1}),
            (Path("/tmp/x"), "/tmp/x"),
            (Decimal("1.50"), "1.50"),
            (Fraction(1, 4), 0.25),
            (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
            (Colour.RED, "red"),
            (Point(1, 2.5), {"x": 1, "y": 2.5}),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_what_has_an_obvious_form_gets_it(self, value, expected):
        """What users put into metadata and data is taken as they mean it."""
        assert plain({"a": value}) == {"a": expected}

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (np.float64(1.5), 1.5),
            (np.float32(0.5), 0.5),
            (np.float64("nan"), None),
            (np.float32("inf"), None),
            (np.int64(-5), -5),
            (np.uint8(255), 255),
            (np.bool_(True), True),
            (np.str_("x"), "x"),
            (np.array([1.0, math.nan]), [1.0, None]),
            (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
            (np.datetime64("2026-01-02"), "2026-01-02"),
        ],
        ids=repr,
    )
    def test_numpy_becomes_numbers(self, value, expected):
        """What numpy computes is put into displays and comms as it is."""
        assert plain([value]) == [expected]


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            ("a", "a"),
            (1, "1"),
            (-(2**80), str(-(2**80))),
            (1.5, "1.5"),
            (True, "true"),
            (None, "null"),
            ((1, 2), "(1, 2)"),
            (np.int64(1), "1"),
            (np.str_("a"), "a"),
            (SURROGATE, SURROGATE),
        ],
        ids=repr,
    )
    def test_that_are_no_strings_become_strings(self, key, expected):
        """Python's dicts have all sorts of keys, and a message is not lost for that."""
        assert plain({key: [1, {key: 2}]}) == {expected: [1, {expected: 2}]}


ODD = [
    math.nan, np.float32("inf"), np.array([math.nan, 1]), b"\0", datetime(2026, 1, 2, tzinfo=UTC),
    Decimal("1.50"), uuid.UUID(int=1), Colour.RED, Point(1, 2.5), (1, 2), {1}, range(2), 2**80,
    Path("/tmp"), Fraction(1, 4), {None: 1}, {"deep": [{"er": np.float64("nan")}]},
    Point(np.int64(1), math.nan), [Point(1, [math.inf])],
]  # fmt: skip


class TestOneOddThing:
    """One lone surrogate, or one odd key, and the whole message goes the slower way."""

    @pytest.mark.parametrize("value", ODD, ids=repr)
    @pytest.mark.parametrize("beside", [SURROGATE, {(1, 2): 0}], ids=["surrogate", "key"])
    def test_changes_nothing_else(self, value, beside):
        """The same value has the same form, whatever else is in the message."""
        alone = plain([value])
        assert plain([value, beside])[:1] == alone
        assert plain({"beside": beside, "value": value})["value"] == alone[0]

    def test_may_be_inside_of_another(self):
        """A surrogate in a dataclass's field is a surrogate."""
        value = plain([Point(SURROGATE, {(1,): SURROGATE})])
        assert value == [{"x": SURROGATE, "y": {"(1,)": SURROGATE}}]


def circle_of_lists():
    circle = [1]
    circle.append(circle)
    return circle


def circle_of_dicts():
    circle = {}
    circle["a"] = [circle]
    return circle


class Endless:
    def tolist(self):
        return [self]


class Unwilling:
    def tolist(self):
        raise RuntimeError("not me")


def nested(depth, leaf):
    for _ in range(depth):
        leaf = [leaf]
    return leaf


class TestWhatCannotBeSaid:
    @pytest.mark.parametrize("beside", [[], [SURROGATE], [{(1, 2): 3}]], ids=repr)
    @pytest.mark.parametrize(
        "value",
        [circle_of_lists(), circle_of_dicts(), Endless(), nested(100_000, 1)],
        ids=["lists", "dicts", "endless", "deep"],
    )
    def test_circles_are_refused(self, value, beside):
        """What contains itself is told as such, in the user's own frame."""
        with pytest.raises(ValueError, match="contains itself"):
            jsons.dumps([*beside, value])

    @pytest.mark.parametrize("depth", [400, 900, 5_000])
    def test_nesting_is_said_or_refused(self, depth):
        """A depth that Python itself cannot follow is a ValueError, however it is found out."""
        for leaf in (1, SURROGATE):
            try:
                assert jsons.loads(jsons.dumps(nested(depth, leaf))) == nested(depth, leaf)
            except (ValueError, RecursionError) as error:
                assert isinstance(error, ValueError), type(error)  # noqa: PT017

    @pytest.mark.parametrize(
        ("value", "name"), [(object(), "object"), (1j, "complex"), (lambda: 0, "function")]
    )
    @pytest.mark.parametrize("beside", [[], [SURROGATE], [{(1, 2): 3}]], ids=repr)
    def test_types_without_a_form_are_named(self, value, name, beside):
        """An error says which type it was, so that the user finds it."""
        with pytest.raises(TypeError, match=f"an object of type {name} has no form in JSON"):
            jsons.dumps([*beside, {"a": value}])

    def test_what_a_users_own_method_raises_is_the_users(self):
        """An error in a conversion is shown as it is."""
        with pytest.raises(RuntimeError, match="not me"):
            jsons.dumps([Unwilling()])


class TestReading:
    @pytest.mark.parametrize("kind", [bytes, memoryview])
    def test_takes_what_python_clients_send(self, kind):
        """NaN and Infinity are no JSON, and Python's own encoder writes them."""
        value = jsons.loads(kind(b'{"a": [NaN, Infinity, -Infinity, 1]}'))["a"]
        assert math.isnan(value[0])
        assert value[1:] == [math.inf, -math.inf, 1]

    @given(st.binary(max_size=30))
    def test_gives_a_value_or_a_value_error(self, data):
        """G9: whatever a client sends, the worker answers."""
        try:
            jsons.loads(data)
        except ValueError:
            return
        data.decode()

    @pytest.mark.parametrize(
        "data",
        [
            b"", b"{", b"\xff", b'"\xed\xa0\x80"', '{"a": 1}'.encode("utf-16"),
            b"[" * 100_000, b"[NaN," + b"[" * 100_000, b"1" * 5_000, b"[NaN" + b"," + b"1" * 5_000,
        ],
        ids=lambda data: repr(data[:12]),
    )  # fmt: skip
    def test_refuses_what_is_none(self, data):
        """G9: text in another encoding, and depths and numbers beyond all measure, are refused."""
        with pytest.raises(ValueError):
            jsons.loads(data)
