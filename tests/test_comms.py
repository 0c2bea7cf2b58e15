"""Comms (G13 to G17): our own, and ipywidgets on top of them."""

from __future__ import annotations

import os

import pytest
from frontend import Gate

SETUP = """
import json, threading
from comm import create_comm, get_comm_manager
manager = get_comm_manager()
def target(comm, message):
    print('opened', message['content']['data'])
    comm.on_msg(lambda m: comm.send({'echo': m['content']['data']}, m['metadata'], m['buffers']))
    comm.on_close(lambda m: print('closed', m['content']['data']))
manager.register_target('echo', target)
"""


@pytest.fixture(autouse=True)
def _setup(frontend):
    assert frontend.run(SETUP) == []
    yield
    frontend.run("for comm in list(manager.comms.values()): comm.close()")
    assert listed(frontend) == {}


def listed(frontend, target=None):
    content = {} if target is None else {"target_name": target}
    comms = frontend.request("comm_info_request", content)["comms"]
    return {comm_id: about["target_name"] for comm_id, about in comms.items()}


def open_comm(frontend, comm_id, target="echo", data=None):
    """Open a comm from the client's side; give the request."""
    content = {"comm_id": comm_id, "target_name": target, "data": data or {}}
    return frontend.send("shell", "comm_open", content)


def opened(frontend, comm_id):
    parent = open_comm(frontend, comm_id)
    frontend.recv_busy(parent)
    frontend.recv_stream("stdout", "opened {}\n", parent)
    frontend.recv_idle(parent)


class TestFromTheClient:
    def test_a_comm_lives_and_dies(self, frontend):
        """G13, G14: open, a message with metadata and buffers, close; each in its own pair."""
        parent = open_comm(frontend, "c", data={"a": [1]})
        frontend.recv_busy(parent)
        frontend.recv_stream("stdout", "opened {'a': [1]}\n", parent)
        frontend.recv_idle(parent)
        assert listed(frontend) == {"c": "echo"}
        assert listed(frontend, "echo") == {"c": "echo"}
        assert listed(frontend, "other") == {}
        parent = frontend.send(
            "shell", "comm_msg", {"comm_id": "c", "data": {"x": "ä"}},
            metadata={"m": 1}, buffers=[b"\0\xff", b""],
        )  # fmt: skip
        frontend.recv_busy(parent)
        message = frontend.recv("iopub", "comm_msg", parent)
        assert message.content == {"comm_id": "c", "data": {"echo": {"x": "ä"}}}
        assert message.metadata == {"m": 1}
        assert message.buffers == [b"\0\xff", b""]
        frontend.recv_idle(parent)
        parent = frontend.send("shell", "comm_close", {"comm_id": "c", "data": {"bye": 1}})
        frontend.recv_busy(parent)
        frontend.recv_stream("stdout", "closed {'bye': 1}\n", parent)
        frontend.recv_idle(parent)
        assert listed(frontend) == {}

    def test_an_unknown_target_is_answered_by_a_close(self, frontend):
        """G15: comm_close before its idle; it was never listed. The log says which target."""
        parent = open_comm(frontend, "c", target="nobody")
        frontend.recv_busy(parent)
        messages = frontend.recv_until_idle(parent)
        (close,) = [m for m in messages if m.type != "stream"]
        assert (close.type, close.content["comm_id"]) == ("comm_close", "c")
        assert listed(frontend) == {}

    def test_a_target_that_fails_is_answered_by_a_close(self, frontend):
        """G15: an exception in the target costs its comm and nothing else."""
        frontend.run("manager.register_target('bad', lambda *_: 1 / 0)")
        parent = open_comm(frontend, "c", target="bad")
        frontend.recv_busy(parent)
        messages = frontend.recv_until_idle(parent)
        assert [m.content["comm_id"] for m in messages if m.type == "comm_close"] == ["c"]
        assert {m.type for m in messages} <= {"comm_close", "stream"}
        assert listed(frontend) == {}

    def test_a_handler_that_fails_costs_its_message(self, frontend):
        """An exception in a handler is told on stderr or in the log; the comm lives on."""
        opened(frontend, "c")
        frontend.run("manager.get_comm('c').on_msg(lambda m: 1 / 0)")
        parent = frontend.send("shell", "comm_msg", {"comm_id": "c", "data": {}})
        frontend.recv_busy(parent)
        assert {m.entry[0] for m in frontend.recv_until_idle(parent)} <= {"stderr"}
        assert listed(frontend) == {"c": "echo"}

    def test_a_message_for_an_unknown_comm_is_dropped(self, frontend):
        """G16: busy and idle still come, and nothing else, for msg and close."""
        for msg_type in ("comm_msg", "comm_close"):
            parent = frontend.send("shell", msg_type, {"comm_id": "nobody", "data": {}})
            frontend.recv_busy(parent)
            frontend.recv_idle(parent)

    def test_big_buffers_come_back_as_they_went(self, frontend):
        """G1, G13: beside the pipe, and in their place all the same."""
        opened(frontend, "c")
        buffers = [os.urandom(3 << 20), b"small", os.urandom(1 << 20), b""]
        parent = frontend.send(
            "shell", "comm_msg", {"comm_id": "c", "data": 1}, buffers=buffers,
        )  # fmt: skip
        frontend.recv_busy(parent)
        message = frontend.recv("iopub", "comm_msg", parent)
        assert message.buffers == buffers
        frontend.recv_idle(parent)

    def test_a_big_buffer_survives_its_sender(self, fresh):
        """G18: what was sent before a death is published, also what is not on the pipe."""
        code = (
            "from comm import create_comm; import os; "
            "create_comm(target_name='t', data={}, buffers=[b'12345678' * (1 << 20)]); os._exit(3)"
        )
        parent = fresh.execute(code)
        fresh.recv_begin(parent)
        message = fresh.recv("iopub", "comm_open", parent)
        assert message.buffers == [b"12345678" * (1 << 20)]
        fresh.recv_crash(parent)
        fresh.recv_closed_comms([message.content["comm_id"]])

    def test_comm_info_is_right_at_once_after_the_client_s_close(self, frontend):
        """G14: a comm that its client has closed is never listed, also while a cell runs."""
        for i in range(20):
            opened(frontend, f"c{i}")
            close = frontend.send("shell", "comm_close", {"comm_id": f"c{i}", "data": {}})
            info = frontend.send("shell", "comm_info_request")
            said = {close: [], info: []}
            while [entries[-1:] for entries in said.values()] != [[("status", "idle")]] * 2:
                message = frontend.recv("iopub")
                said[message.parent_id].append(message.entry)
            busy, *texts, idle = said[close]  # the answer may come in the middle of a print
            assert (busy, idle) == (("status", "busy"), ("status", "idle"))
            assert "".join(text for _, text in texts) == "closed {}\n"
            reply = frontend.recv_reply(info, msg_type="comm_info_reply")
            assert reply["comms"] == {}

    def test_a_queued_close_is_known_while_the_worker_is_busy(self, frontend, tmp_path):
        """G14: the worker has yet to hear of it; comm_info has not."""
        gate = Gate(tmp_path)
        opened(frontend, "c")
        parent = frontend.hold(gate)
        assert listed(frontend) == {"c": "echo"}
        close = frontend.send("shell", "comm_close", {"comm_id": "c", "data": {}})
        assert listed(frontend) == {}
        gate.open()
        frontend.recv_idle(parent)
        frontend.recv_busy(close)
        frontend.recv_stream("stdout", "closed {}\n", close)
        frontend.recv_idle(close)
        frontend.recv_reply(parent)
        assert listed(frontend) == {}

    def test_an_id_may_be_used_again(self, frontend):
        """G13, G14: close and open of one id in a row leave it open."""
        opened(frontend, "c")
        close = frontend.send("shell", "comm_close", {"comm_id": "c", "data": {}})
        again = open_comm(frontend, "c")
        frontend.recv_busy(close)
        frontend.recv_stream("stdout", "closed {}\n", close)
        frontend.recv_idle(close)
        frontend.recv_busy(again)
        frontend.recv_stream("stdout", "opened {}\n", again)
        frontend.recv_idle(again)
        assert listed(frontend) == {"c": "echo"}


class TestFromTheKernel:
    def test_open_messages_close_in_order(self, frontend):
        """G13: comm_open precedes every message of its comm; comm_close is the last. 100 comms."""
        code = """
for i in range(100):
    comm = create_comm(target_name='t', comm_id=f'c{i}', data={'i': i}, metadata={'m': i})
    comm.send({'a': 1}); comm.send({'a': 2}, buffers=[bytearray(b'x'), memoryview(b'y')])
    comm.close({'bye': i})
"""
        expected = []
        for i in range(100):
            expected += [
                ("comm_open", {"i": i}),
                ("comm_msg", {"a": 1}),
                ("comm_msg", {"a": 2}),
                ("comm_close", {"bye": i}),
            ]
        transcript = frontend.run(code)
        assert transcript == expected
        first, _, third, _ = transcript.messages[:4]
        assert first.content["target_name"] == "t"
        assert first.metadata == {"m": 0}
        assert third.buffers == [b"x", b"y"]
        ids = [message.content["comm_id"] for message in transcript.messages]
        assert ids == [f"c{i}" for i in range(100) for _ in range(4)]

    def test_threads_open_and_close_in_their_own_order(self, frontend):
        """G13: of each comm, open comes first and close last, whoever else talks."""
        code = """
def talk(name):
    for i in range(100):
        comm = create_comm(target_name='t', comm_id=f'{name}{i}')
        comm.send({}); comm.close()
threads = [threading.Thread(target=talk, args=(name,)) for name in 'abc']
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
        own = {}
        for message in frontend.run(code).messages:
            own.setdefault(message.content["comm_id"], []).append(message.type)
        assert len(own) == 300
        assert set(map(tuple, own.values())) == {("comm_open", "comm_msg", "comm_close")}

    def test_comm_info_knows_what_has_been_seen(self, frontend, tmp_path):
        """G14: once an open or a close was seen on IOPub, comm_info agrees, also mid-cell."""
        gate = Gate(tmp_path)
        code = f"""
comm = create_comm(target_name='t', comm_id='c')
{gate.wait};
comm.close()
{gate.wait};
"""
        for _ in range(20):
            parent = frontend.execute(code)
            frontend.recv_begin(parent)
            frontend.recv("iopub", "comm_open", parent)
            assert listed(frontend) == {"c": "t"}
            gate.open()
            frontend.recv("iopub", "comm_close", parent)
            assert listed(frontend) == {}
            gate.open()
            frontend.recv_idle(parent)
            frontend.recv_reply(parent)

    def test_data_that_json_cannot_say_fails_where_it_is_sent(self, frontend):
        """The comm stays as it was, and nothing half-made is sent."""
        code = "c = create_comm(target_name='t', comm_id='c')\nc.send({'x': object()})"
        assert frontend.run(code, "error") == [("comm_open", {}), ("error", "TypeError")]
        assert frontend.run("c.send({'x': 1})") == [("comm_msg", {"x": 1})]
        code = "d = create_comm(target_name='t', comm_id='d', data={'x': object()})"
        assert frontend.run(code, "error") == [("error", "TypeError")]
        assert listed(frontend) == {"c": "t"}

    def test_the_kernel_s_face_for_libraries(self, frontend):
        """get_ipython().kernel has the manager, the parent of the calling code, a session."""
        code = """
kernel = get_ipython().kernel
print(kernel.comm_manager is manager, kernel.get_parent()['header']['msg_type'])
kernel.session.send(kernel.iopub_socket, 'display_data', {'data': {'text/plain': 'sent'}})
"""
        assert frontend.run(code) == [
            ("stdout", "True execute_request\n"),
            ("display", "sent"),
        ]


WIDGETS = """
import ipywidgets as widgets
from IPython.display import display
"""


def state_of(messages):
    """Collect the models that were opened: comm_id to state."""
    return {
        m.content["comm_id"]: m.content["data"]["state"] for m in messages if m.type == "comm_open"
    }


def set_state(frontend, comm_id, **state):
    """Do what a widget's view does when the user moves it; give the request."""
    content = {"comm_id": comm_id, "data": {"method": "update", "state": state, "buffer_paths": []}}
    return frontend.send("shell", "comm_msg", content, metadata={"version": "2.1.0"})


class TestWidgets:
    @pytest.fixture(autouse=True)
    def _widgets(self, frontend, _setup):
        assert {kind for kind, _ in frontend.run(WIDGETS)} <= {"comm_open"}
        yield
        frontend.run("widgets.Widget.close_all()")

    def test_a_slider_set_by_the_client(self, frontend):
        """G13: models are opened before the display that names them; observers run in the pair."""
        code = """
slider = widgets.IntSlider(value=3, description='s')
slider.observe(lambda change: print(change['old'], '->', change['new']), 'value')
slider
"""
        transcript = frontend.run(code)
        kinds = [kind for kind, _ in transcript]
        assert kinds == ["comm_open"] * 3 + ["result"]
        view = transcript.messages[-1].content["data"]["application/vnd.jupyter.widget-view+json"]
        model = view["model_id"]
        assert state_of(transcript.messages)[model]["value"] == 3
        assert listed(frontend)[model] == "jupyter.widget"
        parent = set_state(frontend, model, value=7)
        frontend.recv_busy(parent)
        messages = frontend.recv_until_idle(parent)
        told = [m.entry for m in messages if m.type == "stream"]
        assert told == [("stdout", "3 -> 7\n")]
        for echo in (m for m in messages if m.type != "stream"):
            assert echo.type == "comm_msg"
            assert echo.content["data"]["method"] in ("echo_update", "update")
        assert frontend.run("slider.value") == [("result", "7")]

    def test_a_slider_set_by_the_kernel(self, frontend):
        """G1: an update is a comm message where the code made it."""
        frontend.run("slider = widgets.IntSlider(value=3)")
        transcript = frontend.run("print('a'); slider.value = 5; print('b')")
        assert [kind for kind, _ in transcript] == ["stdout", "comm_msg", "stdout"]
        assert transcript[1][1]["state"] == {"value": 5}

    def test_an_output_widget(self, frontend):
        """Text in its context belongs to it: msg_id is set to the cell's while it captures."""
        transcript = frontend.run("out = widgets.Output(); out")
        (model,) = [
            comm_id for comm_id, state in state_of(transcript.messages).items()
            if state["_model_name"] == "OutputModel"
        ]  # fmt: skip
        parent = frontend.execute("with out:\n print('inside'); display('shown')\nprint('outside')")
        transcript = frontend.finish(parent)
        messages = [
            (m.content["comm_id"], m.content["data"]["state"]) if m.type == "comm_msg" else m.entry
            for m in transcript.messages
        ]
        assert messages == [
            (model, {"msg_id": parent}),
            ("stdout", "inside\n"),
            ("display", "'shown'"),
            (model, {"msg_id": ""}),
            ("stdout", "outside\n"),
        ]

    def test_interact(self, frontend):
        """A function of a slider runs in the comm message's pair; its output goes to its widget."""
        code = "def f(x=3): print('x is', x)\nwidgets.interact(f);"
        transcript = frontend.run(code)
        states = state_of(transcript.messages)
        (slider,) = [i for i, state in states.items() if state["_model_name"] == "IntSliderModel"]
        parent = set_state(frontend, slider, value=5)
        frontend.recv_busy(parent)
        messages = frontend.recv_until_idle(parent)
        assert ("stdout", "x is 5\n") in [m.entry for m in messages]

    def test_a_buffer_is_an_image(self, frontend):
        """Binary traits travel as buffers."""
        code = "image = widgets.Image(value=bytes(range(256)), format='png')"
        transcript = frontend.run(code)
        (message,) = [m for m in transcript.messages if m.buffers]
        assert message.buffers == [bytes(range(256))]
        assert message.content["data"]["buffer_paths"] == [["value"]]

    def test_a_button(self, frontend):
        """A custom message reaches the handler."""
        transcript = frontend.run("b = widgets.Button(); b.on_click(lambda _: print('clicked'))")
        states = state_of(transcript.messages)
        (button,) = [i for i, state in states.items() if state["_model_name"] == "ButtonModel"]
        data = {"method": "custom", "content": {"event": "click"}}
        parent = frontend.send("shell", "comm_msg", {"comm_id": button, "data": data})
        frontend.recv_busy(parent)
        frontend.recv_stream("stdout", "clicked\n", parent)
        frontend.recv_idle(parent)

    def test_a_client_asks_for_all_states(self, frontend):
        """The widget control comm, with which a reloaded page gets its widgets back."""
        frontend.run("slider = widgets.IntSlider(value=11)")
        content = {"comm_id": "control", "target_name": "jupyter.widget.control", "data": {}}
        parent = frontend.send("shell", "comm_open", content, metadata={"version": "1.0.0"})
        frontend.recv_busy(parent)
        frontend.recv_idle(parent)
        content = {"comm_id": "control", "data": {"method": "request_states"}}
        parent = frontend.send("shell", "comm_msg", content)
        frontend.recv_busy(parent)
        message = frontend.recv("iopub", "comm_msg", parent)
        assert message.content["data"]["method"] == "update_states"
        states = message.content["data"]["states"].values()
        assert 11 in [one["state"].get("value") for one in states]
        frontend.recv_idle(parent)
