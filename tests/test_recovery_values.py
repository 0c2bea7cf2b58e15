"""Any values, and widgets: after a death they are what they were."""

from __future__ import annotations

import base64
import pickle
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath

import pytest
from frontend import kernel
from hypothesis import given, settings
from hypothesis import strategies as st
from test_recovery_cases import BACK, NOT_BACK, die, result, run

KERNEL = {"options": ["--recover=on"]}

DIE = """
for name in [*made]: del globals()[name]
import os, signal; os.kill(os.getpid(), signal.SIGSEGV)
"""

plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.binary(max_size=20), st.complex_numbers(),
    st.builds(Fraction, st.integers(), st.integers(min_value=1)),
    st.decimals(allow_nan=False).map(Decimal),
    st.dates().map(lambda d: date(d.year, d.month, d.day)),
    st.builds(timedelta, st.integers(-999, 999)), st.just(PurePosixPath("a/b")), st.just(range(3)),
)  # fmt: skip
hashable = st.recursive(
    st.one_of(st.integers(), st.text(max_size=9), st.binary(max_size=9)),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4),
    max_leaves=5,
)
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(hashable, inner, max_size=5),
        st.tuples(inner, inner),
        st.sets(hashable, max_size=5),
        st.lists(inner, max_size=3).map(lambda a: [a, a]),  # one thing at two places
        st.binary(max_size=9).map(bytearray),
    ),
    max_leaves=20,
)


def unpicklable(kind, n):
    """Give a way to make something, a way to look at it, and what is to be seen."""
    return {
        "generator": (
            f"(i * i for i in range(99)); [next(_) for _ in range({n})]",
            "next({})",
            n * n,
        ),
        "closure": (f"(lambda a: lambda b: a + b)({n})", "{}(1)", n + 1),
        "iterator": (f"iter(range({n}, 99))", "next({})", n),
        "view": (f"memoryview(bytes([{n}]) * 3)[1:]", "{}.tolist()", [n, n]),
        "module": (f"types.ModuleType('m'); _.x = {n}", "{}.x", n),
        "class": (f"type('C', (), dict(x={n}, f=lambda self: self.x))()", "{}.f()", n),
        "lock": ("threading.Lock(); _.acquire()", "{}.locked()", True),
        "code": (f"compile('{n} + 1', '', 'eval')", "eval({})", n + 1),
        "weak set": (f"weakref.WeakSet([types]); _.n = {n}", "(len({0}), {0}.n)", (1, n)),
        "coroutine": (f"asyncio.Queue(); _.put_nowait({n})", "{}.get_nowait()", n),
    }[kind]


odd = st.builds(
    unpicklable,
    st.sampled_from([
        "generator", "closure", "iterator", "view", "module", "class", "lock", "code", "weak set",
        "coroutine",
    ]),
    st.integers(0, 90),
)  # fmt: skip


@settings(max_examples=20)
@given(st.lists(values, max_size=12), st.lists(odd, max_size=6))
def test_any_values(shared_kernel, some, others):
    """All names that were there are there, and mean what they meant."""
    frontend = shared_kernel.get()
    packed = base64.b64encode(pickle.dumps(some)).decode()
    lines = [
        "import asyncio, base64, pickle, threading, types, weakref",
        f"some = pickle.loads(base64.b64decode('{packed}')); made = ['some']",
        "made += [f'v{i}' for i in range(len(some))]",
        "globals().update({f'v{i}': value for i, value in enumerate(some)})",
        "before = pickle.dumps([globals()[name] for name in made])",
    ]
    for i, (make, _, _) in enumerate(others):
        first, _, then = make.partition("; ")
        lines.append(f"u{i} = {first}; made.append('u{i}')")
        if then:
            lines.append(then.replace("next(_) for _", f"next(u{i}) for _").replace("_.", f"u{i}."))
    run(frontend, "\n".join(lines))
    report = die(frontend, DIE)
    assert BACK in report, report
    assert NOT_BACK not in report, report
    count = len(some) + 1
    assert result(run(frontend, f"pickle.dumps([globals()[n] for n in made[:{count}]]) == before"))
    looks = ", ".join(look.format(f"u{i}") for i, (_, look, _) in enumerate(others))
    expected = "".join(f"{seen!r}, " for _, _, seen in others)
    assert result(run(frontend, f"print(end='') or repr([{looks}])")) == repr(
        f"[{expected.removesuffix(', ')}]"
    )


def test_widgets(tmp_path):
    """What a slider shows and whom it tells survives; both ends can go on talking."""
    pytest.importorskip("ipywidgets")
    with kernel(tmp_path, **KERNEL) as frontend:
        setup = """
import ipywidgets as widgets
seen, slider, out = [], widgets.IntSlider(3), widgets.Output()
slider.observe(lambda change: seen.append(change['new']), 'value')
"""
        run(frontend, setup)
        before = frontend.request("comm_info_request")["comms"]
        parent = frontend.execute(f"lost = widgets.Text('x')\n{DIE.replace('*made', '')}")
        frontend.recv_busy(parent)
        messages = frontend.recv_until_idle(parent)
        frontend.recv_reply(parent, "error")
        assert BACK in "\n".join(messages[-1].content["traceback"])
        frontend.recv_closed_comms(
            [m.content["comm_id"] for m in messages if m.type == "comm_open"]
        )
        assert frontend.request("comm_info_request")["comms"] == before
        ident = result(run(frontend, "slider.comm.comm_id")).strip("'")
        assert ident in before
        content = {"comm_id": ident, "data": {"method": "update", "state": {"value": 7}}}
        parent = frontend.send("shell", "comm_msg", content)
        frontend.recv_busy(parent)
        frontend.recv_until_idle(parent)
        assert result(run(frontend, "(slider.value, seen)")) == "(7, [7])"
        messages = run(frontend, "with out: print('inside')")
        captured, released = [
            m.content.get("data", {}).get("state") for m in messages if m.type == "comm_msg"
        ]
        assert captured["msg_id"]
        assert not released["msg_id"]
