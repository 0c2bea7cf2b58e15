"""Every request and its reply (G9 to G12), malformed ones included (G26)."""

from __future__ import annotations

import json
import re
import socket as sockets

import pytest
from frontend import DELIMITER, Gate, kernel

REQUESTS = {
    "execute_request": {"code": "1"},
    "complete_request": {"code": "pri", "cursor_pos": 3},
    "inspect_request": {"code": "print", "cursor_pos": 5, "detail_level": 0},
    "is_complete_request": {"code": "1"},
    "history_request": {"hist_access_type": "tail", "n": 3, "raw": True, "output": False},
    "kernel_info_request": {},
    "comm_info_request": {},
    "connect_request": {},
}


class TestExecute:
    def test_a_result_and_its_reply(self, frontend):
        """G9: ok with the number of the cell, no expressions, no payload."""
        transcript = frontend.run("6 * 7")
        assert transcript == [("result", "42")]
        reply = transcript.reply
        (result,) = transcript.messages
        assert reply["execution_count"] == result.content["execution_count"]
        assert reply["user_expressions"] == {}
        assert reply["payload"] == []
        assert frontend.run("6 * 7;") == []
        assert frontend.run("") == []
        assert frontend.run("None") == []

    def test_the_counter_counts_cells_that_are_stored(self, frontend):
        """The number rises by one a cell; silent cells and those without history leave it alone."""
        first = frontend.run("pass").reply["execution_count"]
        assert frontend.run("1", silent=True).reply["execution_count"] in (first, first + 1)
        assert frontend.run("pass", store_history=False).reply["execution_count"] == first + 1
        assert frontend.run("1 / 0", "error").reply["execution_count"] == first + 1
        assert frontend.run("pass").reply["execution_count"] == first + 2

    def test_silent_cells_publish_no_input_and_no_result(self, frontend):
        """Silent: side effects and no broadcast; store_history has no say."""
        assert frontend.run("x = 5; x", silent=True, store_history=True) == []
        assert frontend.run("x") == [("result", "5")]

    def test_user_expressions(self, frontend):
        """Evaluated after the code; an error in one is told at its own key."""
        expressions = {"good": "x + 1", "bad": "1 / 0", "rich": "[1]"}
        reply = frontend.run("x = 1", user_expressions=expressions).reply
        told = reply["user_expressions"]
        assert told["good"]["status"] == "ok"
        assert told["good"]["data"]["text/plain"] == "2"
        assert told["bad"]["status"] == "error"
        assert told["bad"]["ename"] == "ZeroDivisionError"
        assert told["rich"]["data"]["text/plain"] == "[1]"

    def test_user_expressions_are_evaluated_in_silent_cells(self, frontend):
        """As variable views of frontends do it."""
        reply = frontend.run("", silent=True, user_expressions={"x": "3"}).reply
        assert reply["user_expressions"]["x"]["data"]["text/plain"] == "3"

    def test_user_expressions_that_print_do_it_before_idle(self, frontend):
        """G2, G4: what an expression prints is the cell's."""
        transcript = frontend.run("", user_expressions={"x": "print('said')"})
        assert transcript == [("stdout", "said\n")]

    @pytest.mark.parametrize(
        ("code", "ename"),
        [
            ("1 / 0", "ZeroDivisionError"),
            ("(", "SyntaxError"),
            ("  x = 1\n y", "IndentationError"),
            ("raise SystemExit(3)", "SystemExit"),
            ("raise KeyboardInterrupt", "KeyboardInterrupt"),
            ("%no_such_magic", "UsageError"),
            ("class E(BaseException): pass\nraise E('x')", "E"),
            ("await __import__('asyncio').sleep(0); 1 / 0", "ZeroDivisionError"),
            ("raise GeneratorExit", "GeneratorExit"),
            ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
            ("raise ExceptionGroup('g', [ValueError(1)])", "ExceptionGroup"),
            (
                "try:\n raise ExceptionGroup('g', [ValueError(1)])\nexcept ExceptionGroup:\n 1 / 0",
                "ZeroDivisionError",
            ),
            ("class E(Exception):\n def _render_traceback_(self): 1 / 0\nraise E", "E"),
            ("x = 1 \x00", "SyntaxError"),
        ],
    )
    def test_errors(self, frontend, code, ename):
        """G9: error on IOPub once, the same in the reply, and the kernel goes on."""
        transcript = frontend.run(code, "error")
        told = [m.content for m in transcript.messages if m.type == "error"]
        assert len(told) == (ename != "UsageError"), transcript  # which is a line on stderr
        assert transcript.reply["ename"] == ename
        for content in told:
            assert {"status": "error", **content}.items() <= transcript.reply.items()
            assert all(isinstance(line, str) for line in content["traceback"])
        assert frontend.run("1") == [("result", "1")]

    @pytest.mark.parametrize(
        ("code", "ename", "words"),
        [
            ("f(1", "SyntaxError", "'(' was never closed"),
            ("'''text", "SyntaxError", "unterminated triple-quoted string literal"),
            (
                "def f():",
                "IndentationError",
                "expected an indented block after function definition",
            ),
        ],
    )
    def test_a_cell_that_is_not_finished_says_what_is_missing(self, frontend, code, ename, words):
        """In Python's own words, where IPython says "incomplete input"."""
        reply = frontend.run(code, "error").reply
        assert reply["ename"] == ename
        assert reply["evalue"].startswith(words)

    @pytest.mark.parametrize(
        "code", ["1 / 0", "(", "%no_such_magic", "raise ExceptionGroup('g', [ValueError(1)])"]
    )
    def test_the_history_of_errors_has_what_was_shown(self, frontend, code):
        """%notebook writes it; IPython keeps it of usage errors, too, which are only printed."""
        reply = frontend.run(code, "error").reply
        count = reply["execution_count"]
        kept = f"get_ipython().history_manager.exceptions[{count}]"
        assert frontend.run(f"print({kept}['ename'])") == [("stdout", reply["ename"] + "\n")]
        if code != "%no_such_magic":
            same = f"{kept} == dict(ename={reply['ename']!r}, evalue={reply['evalue']!r}, "
            same += f"traceback={reply['traceback']!r})"
            assert frontend.run(same) == [("result", "True")]

    def test_an_error_is_formatted_once(self, frontend):
        """IPython would do it once more for its history: half of the time of such a cell."""
        code = "seen = []\nclass E(Exception):\n def _render_traceback_(self): seen.append(1); "
        assert frontend.run(code + "return ['E']") == []
        frontend.run("raise E", "error")
        assert frontend.run("len(seen)") == [("result", "1")]

    def test_an_error_whose_text_fails(self, frontend):
        """G9: IPython shows its own error, too; the reply has one that was shown."""
        code = "class E(Exception):\n def __str__(self): 1 / 0\nraise E('x')"
        transcript = frontend.run(code, "error")
        shown = [m.content["ename"] for m in transcript.messages if m.type == "error"]
        assert transcript.reply["ename"] in shown
        assert frontend.run("1") == [("result", "1")]

    def test_payloads(self, frontend):
        """page, set_next_input, and none left for the next cell."""
        (page,) = frontend.run("len?").reply["payload"]
        assert page["source"] == "page"
        assert "text/plain" in page["data"]
        assert page["start"] == 0
        (text,) = frontend.run("get_ipython().set_next_input('x = 1')").reply["payload"]
        assert text == {"source": "set_next_input", "text": "x = 1", "replace": False}
        assert frontend.run("1").reply["payload"] == []

    def test_old_results_are_kept(self, frontend):
        """_, Out and In are IPython's own."""
        frontend.run("'a'")
        count = frontend.run("'b'").reply["execution_count"]
        assert frontend.run(f"_ + __, Out[{count}], In[{count}]") == [
            ("result", """('ba', 'b', "'b'")""")
        ]

    def test_top_level_await(self, frontend):
        """Code that awaits is awaited, in the loop that goes on between cells."""
        frontend.run("import asyncio; loop = asyncio.get_event_loop()")
        code = "await asyncio.sleep(0); asyncio.get_running_loop() is loop"
        assert frontend.run(code) == [("result", "True")]
        frontend.run(
            "async def f():\n await asyncio.sleep(0.001); return 'done'\n"
            "t = asyncio.create_task(f())"
        )
        assert frontend.run("await t") == [("result", "'done'")]


class TestQueue:
    def test_an_error_aborts_the_cells_behind_it(self, frontend, tmp_path):
        """G11: each in its own pair; other types are answered normally, in place."""
        gate = Gate(tmp_path)
        parent = frontend.hold(gate, "1 / 0")
        first = frontend.execute("never")
        other = frontend.send("shell", "is_complete_request", {"code": "1"})
        last = frontend.execute("never")
        frontend.arrived()
        gate.open()
        frontend.recv_error(parent, "ZeroDivisionError")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent, "error")
        frontend.recv_aborted(first)
        frontend.recv_busy(other)
        frontend.recv_idle(other)
        frontend.recv("shell", "is_complete_reply", other)
        frontend.recv_aborted(last)
        assert frontend.run("1") == [("result", "1")]

    def test_an_error_without_stop_on_error_aborts_nothing(self, frontend, tmp_path):
        """G11: stop_on_error is the failing cell's own choice."""
        gate = Gate(tmp_path)
        code = f"print(1); {gate.wait}; 1 / 0"
        parent = frontend.execute(code, stop_on_error=False)
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "1\n", parent)
        queued = frontend.execute("2")
        frontend.arrived()
        gate.open()
        frontend.recv_error(parent, "ZeroDivisionError")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent, "error")
        assert frontend.finish(queued) == [("result", "2")]

    def test_requests_are_taken_in_order_of_arrival(self, frontend):
        """G10: 200 cells of two clients; each client's in its own order, one at a time."""
        other = frontend.connect()
        frontend.run("seen = []")
        for message in ["busy", "input", "idle"]:
            assert other.recv("iopub").entry[0] in ("status", "input"), message
        sent = []
        for i in range(100):
            sent.append((frontend, frontend.execute(f"seen.append(('a', {i}))")))
            sent.append((other, other.execute(f"seen.append(('b', {i}))")))
        order = []
        while len(order) < 200:
            busy, entered, idle = (frontend.recv("iopub") for _ in range(3))
            assert busy.entry == ("status", "busy")
            assert idle.entry == ("status", "idle")
            assert busy.parent_id == entered.parent_id == idle.parent_id
            order.append(busy.parent_id)
            for message in (busy, entered, idle):
                assert other.recv("iopub").header["msg_id"] == message.header["msg_id"]
        for client in (frontend, other):
            own = [parent for who, parent in sent if who is client]
            assert [parent for parent in order if parent in own] == own
            for parent in own:
                client.recv_reply(parent)
        frontend.disconnect(other)
        assert frontend.run("[n for w, n in seen if w == 'b'] == [*range(100)], len(seen)") == [
            ("result", "(True, 200)")
        ]


class TestOthers:
    def test_kernel_info(self, frontend):
        """G12: on shell and on control the same, with all that clients look at."""
        info = frontend.request("kernel_info_request")
        assert info == frontend.request("kernel_info_request", channel="control")
        assert {"protocol_version", "implementation", "implementation_version", "banner"} <= set(
            info
        )
        language = info["language_info"]
        assert language["name"] == "python"
        assert language["file_extension"] == ".py"
        assert language["mimetype"] == "text/x-python"
        assert language["version"].startswith("3.")
        assert isinstance(info["supported_features"], list)
        assert all({"text", "url"} == set(link) for link in info["help_links"])

    def test_connect(self, frontend):
        """The five ports, as old clients ask for them."""
        reply = frontend.request("connect_request")
        for name in ("shell", "iopub", "stdin", "control", "hb"):
            assert reply[f"{name}_port"] == frontend.connection[f"{name}_port"]

    def test_complete(self, frontend):
        """Matches, the range that they replace in code points, and the types JupyterLab shows."""
        frontend.run("abcdef = 1; abcxyz = 2")
        code = "'𝄞€'; abc"
        reply = frontend.request("complete_request", {"code": code, "cursor_pos": len(code)})
        assert set(reply["matches"]) == {"abcdef", "abcxyz"}
        assert (reply["cursor_start"], reply["cursor_end"]) == (6, 9)
        types = reply["metadata"]["_jupyter_types_experimental"]
        assert [one["text"] for one in types] == reply["matches"]
        assert all({"start", "end", "type", "text"} <= set(one) for one in types)
        reply = frontend.request("complete_request", {"code": "%time", "cursor_pos": 5})
        assert "%timeit" in reply["matches"]
        reply = frontend.request("complete_request", {"code": "", "cursor_pos": 0})
        assert reply["cursor_start"] == reply["cursor_end"] == 0

    def test_inspect(self, frontend):
        """Found or not is no error; detail_level 1 shows the source."""
        frontend.run('def documented(a):\n    """About it."""\n    return a + 41')
        content = {"code": "documented(1)", "cursor_pos": 4, "detail_level": 0}
        reply = frontend.request("inspect_request", content)
        assert reply["found"]
        assert "About it." in reply["data"]["text/plain"]
        reply = frontend.request("inspect_request", content | {"detail_level": 1})
        assert "a + 41" in re.sub("\x1b\\[[0-9;]*m", "", reply["data"]["text/plain"])
        reply = frontend.request("inspect_request", {"code": "nothing_here", "cursor_pos": 3})
        assert reply == {"status": "ok", "found": False, "data": {}, "metadata": {}}

    @pytest.mark.parametrize(
        ("code", "status", "indent"),
        [
            ("1 + 1", "complete", None),
            ("", "complete", None),
            ("for i in x:", "incomplete", "    "),
            ("f(", "incomplete", ""),
            ("'''", "incomplete", ""),
            ("a b", "invalid", None),
            ("%%time\n1", "incomplete", ""),
            ("%time 1", "complete", None),
        ],
    )
    def test_is_complete(self, frontend, code, status, indent):
        """Complete, incomplete with an indent, or invalid; magics are code, too."""
        reply = frontend.request("is_complete_request", {"code": code})
        assert reply["status"] == status
        assert reply.get("indent") == indent

    def test_history(self, frontend):
        """Tail, range and search; entries are lists of three."""
        count = frontend.run("'history ' + str(1)").reply["execution_count"]
        frontend.run("2")
        ask = {"raw": True, "output": False}
        reply = frontend.request("history_request", ask | {"hist_access_type": "tail", "n": 2})
        session = reply["history"][0][0]
        assert reply["history"] == [
            [session, count, "'history ' + str(1)"],
            [session, count + 1, "2"],
        ]
        content = {"hist_access_type": "range", "session": 0, "start": count, "stop": count + 1}
        reply = frontend.request("history_request", ask | content)
        assert [line[1:] for line in reply["history"]] == [[count, "'history ' + str(1)"]]
        reply = frontend.request("history_request", ask | content | {"output": True})
        assert reply["history"][0][2] == ["'history ' + str(1)", "'history 1'"]
        content = {"hist_access_type": "search", "pattern": "'hist*", "n": 5, "unique": True}
        reply = frontend.request("history_request", ask | content)
        assert "'history ' + str(1)" in [line[2] for line in reply["history"]]

    def test_history_is_there_at_once(self, frontend):
        """A search or a range by the session's own number finds the cell that has just run."""
        for i in range(5):
            code = f"'just run {i}'"
            count = frontend.run(code).reply["execution_count"]
            ask = {"raw": True, "output": False, "hist_access_type": "search"}
            reply = frontend.request("history_request", ask | {"pattern": f"*just run {i}*"})
            assert [line[1:] for line in reply["history"]] == [[count, code]]
            session = reply["history"][0][0]
            ask = {"raw": True, "output": False, "hist_access_type": "range"}
            where = {"session": session, "start": count, "stop": count + 1}
            reply = frontend.request("history_request", ask | where)
            assert reply["history"] == [[session, count, code]]

    def test_an_unknown_request_gets_its_pair_and_no_reply(self, frontend):
        """G9: unknown types are tolerated on both channels, and the log says so."""
        for channel in ("shell", "control"):
            parent = frontend.send(channel, "no_such_request", {"x": 1})
            frontend.recv_busy(parent)
            frontend.recv_idle(parent)
        parent = frontend.send("shell", "execute_reply", {"x": 1})
        frontend.recv_busy(parent)
        frontend.recv_idle(parent)

    def test_unknown_fields_are_tolerated_and_header_fields_come_back(self, frontend):
        """The parent header is the request's header, to the last unknown field."""
        header = {"subshell_id": None, "extra": {"deep": [1, {"er": None}]}}
        content = {"code": "print(1)", "unknown": {"a": 1}}
        parent = frontend.send("shell", "execute_request", content, header=header)
        assert frontend.finish(parent) == [("stdout", "1\n")]

    def test_several_identity_frames_come_back(self, frontend):
        """A reply goes back through every router that the request came through."""
        head = frontend.header("kernel_info_request")
        frontend.send_frames("shell", [b"one", b"two", *frontend.frames(head, {})])
        frames = frontend.sockets["shell"].recv_multipart()
        assert frames[:3] == [b"one", b"two", DELIMITER]
        frontend.recv_busy(head["msg_id"])
        frontend.recv_idle(head["msg_id"])


BAD_CONTENT = {
    "execute_request": [
        {"code": 5}, {"code": None}, {}, {"code": ["x"]}, {"code": "1", "silent": "no"},
        {"code": "1", "user_expressions": [1]}, {"code": "1", "user_expressions": {"a": 5}},
        {"code": "1", "store_history": 7}, {"code": "1", "allow_stdin": "x"},
        {"code": "1", "stop_on_error": []}, {"code": "\ud800"}, {"code": "x = '\x00'"},
    ],
    "complete_request": [
        {}, {"code": 5}, {"code": "a", "cursor_pos": "x"}, {"code": "a", "cursor_pos": -4},
        {"code": "a", "cursor_pos": 10**30}, {"code": "\ud800a", "cursor_pos": 2},
        {"code": "a", "cursor_pos": 1.5}, {"code": "a", "cursor_pos": None},
    ],
    "inspect_request": [
        {}, {"code": 5}, {"code": "print", "cursor_pos": "x"},
        {"code": "print", "cursor_pos": 3, "detail_level": "x"},
        {"code": "print", "cursor_pos": 3, "detail_level": 10**20},
    ],
    "is_complete_request": [{}, {"code": 5}, {"code": "\ud800"}, {"code": "\x00"}],
    "history_request": [
        {}, {"hist_access_type": "nonsense"}, {"hist_access_type": 5},
        {"hist_access_type": "range", "session": "x"}, {"hist_access_type": "tail", "n": "x"},
        {"hist_access_type": "search", "pattern": 5},
        {"hist_access_type": "range", "session": 10**40},
    ],
    "comm_info_request": [{"target_name": 5}, {"target_name": None}, {"target_name": ["x"]}],
    "kernel_info_request": [{"x": 1}],
    "connect_request": [{"x": 1}],
}  # fmt: skip


class TestMalformed:
    @pytest.mark.parametrize("msg_type", REQUESTS)
    def test_bad_content_gets_one_reply(self, frontend, msg_type):
        """G9: busy, idle and one reply for content that is malformed in any way; then life goes on.

        A cell whose content is malformed says why in an error; nothing of it is lost silently.
        """
        broken = [b"not json", b"\xff\xfe", b"[]", b"5", b"null", b'"x"', b"", b"[" * 100_000]
        for content in BAD_CONTENT[msg_type] + broken:
            parent = frontend.send("shell", msg_type, content)
            frontend.recv_busy(parent)
            published = frontend.recv_until_idle(parent)
            reply_type = msg_type.replace("_request", "_reply")
            reply = frontend.recv("shell", reply_type, parent).content
            if msg_type == "execute_request":
                assert reply["status"] in ("ok", "error"), (content, reply)
                assert isinstance(reply["execution_count"], int)
                errors = [m.content for m in published if m.type == "error"]
                assert len(errors) == (reply["status"] == "error"), (content, published)
                if errors:
                    assert {name: reply[name] for name in errors[0]} == errors[0]
            if reply["status"] == "error":
                assert {"ename", "evalue", "traceback"} <= set(reply), (content, reply)
                assert reply["evalue"] or reply["ename"] != "ValueError", (content, reply)
        assert frontend.run("1") == [("result", "1")]

    @pytest.mark.parametrize("msg_type", ["comm_open", "comm_msg", "comm_close"])
    def test_bad_comm_content_gets_its_pair(self, frontend, msg_type):
        """G9, G16: a comm message has no reply; busy and idle come whatever it holds."""
        for content in (
            {}, {"comm_id": 5}, {"comm_id": None}, {"comm_id": "x", "data": 5},
            {"comm_id": ["x"], "target_name": 5}, b"not json", b"\xff", b"[]",
        ):  # fmt: skip
            parent = frontend.send("shell", msg_type, content)
            frontend.recv_busy(parent)
            for message in frontend.recv_until_idle(parent):
                assert message.type in ("comm_close", "stream"), message
        assert frontend.run("1") == [("result", "1")]

    @pytest.mark.parametrize("channel", ["shell", "control"])
    def test_control_content_may_be_anything(self, frontend, channel):
        """G9: what the supervisor answers alone does not depend on the content."""
        for content in (b"not json", b"[]", b"\xff"):
            parent = frontend.send(channel, "kernel_info_request", content)
            frontend.recv_busy(parent)
            frontend.recv_idle(parent)
            frontend.recv_reply(parent, msg_type="kernel_info_reply", channel=channel)

    def test_frames_that_are_no_message_do_nothing(self, frontend):
        """G26's other side: parsing is total; what is unsigned, replayed or torn is dropped."""
        head = frontend.header("execute_request")
        code = {"code": "print('never')"}
        good = frontend.frames(head, code)
        _, signature, header, parent, metadata, content = good
        bad = [
            [b""],
            [b"x" * 100],
            [DELIMITER],
            [DELIMITER, signature],
            good[:-1],
            [b"", *good[1:]],
            [DELIMITER, b"", header, parent, metadata, content],
            [DELIMITER, b"0" * 64, header, parent, metadata, content],
            [DELIMITER, signature.upper() + b"0", header, parent, metadata, content],
            [DELIMITER, signature, header, parent, metadata, content + b" "],
            [DELIMITER, signature, parent, header, metadata, content],
            frontend.frames(b"no json", code),
            frontend.frames(b"[]", code),
            frontend.frames(b"\xff", code),
            frontend.frames({}, code),
            frontend.frames({"msg_id": "x"}, code),
            frontend.frames({"msg_type": "execute_request"}, code),
            frontend.frames({"msg_id": 5, "msg_type": "execute_request"}, code),
            frontend.frames({"msg_id": "x", "msg_type": 5}, code),
            frontend.frames(b"[" * 100_000, code),
            [DELIMITER, frontend.sign([header, b"[]", metadata, content]), header, b"[]", metadata,
             content],
            [DELIMITER, frontend.sign([header, parent, b"x", content]), header, parent, b"x",
             content],
        ]  # fmt: skip
        for channel in ("shell", "control", "stdin"):
            for frames in bad:
                frontend.send_frames(channel, frames)
            frontend.settle()
        assert frontend.run("1") == [("result", "1")]

    def test_a_message_is_taken_once(self, frontend):
        """A replayed signature is dropped, on any channel."""
        frames = frontend.frames(frontend.header("kernel_info_request"), {})
        frontend.send_frames("shell", frames)
        frontend.recv("iopub")
        frontend.recv("iopub")
        frontend.recv("shell", "kernel_info_reply", json.loads(frames[2])["msg_id"])
        for channel in ("shell", "control", "stdin"):
            frontend.send_frames(channel, frames)
        frontend.settle()

    def test_bytes_that_are_no_zmq_do_nothing(self, frontend):
        """A browser or a scanner that finds a port costs nothing."""
        for name in ("shell", "iopub", "stdin", "control", "hb"):
            with sockets.create_connection(("127.0.0.1", frontend.connection[f"{name}_port"])) as s:
                s.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
        while frontend.sockets["iopub"].poll(0):  # libzmq may take it for an old subscriber
            frontend.recv_welcome()
        frontend.beat()
        parent = frontend.execute("1")
        while (message := frontend.recv("iopub")).type == "iopub_welcome":
            pass
        assert message.entry == ("status", "busy")
        frontend.recv_input(parent)
        frontend.recv_result(parent, "1")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)


class TestBig:
    def test_a_200_mb_message(self, frontend):
        """A request of 200 MB is taken, and control answers while it is on its way."""
        parent = frontend.send("shell", "execute_request", {"code": "1", "more": "x" * 200_000_000})
        frontend.request("kernel_info_request", channel="control")
        assert frontend.finish(parent) == [("result", "1")]

    def test_a_200_mb_display(self, frontend):
        """What a cell publishes may be as large."""
        code = "display({'text/plain': 'x' * 200_000_000}, raw=True)"
        ((kind, text),) = frontend.run(code)
        assert (kind, len(text), set(text)) == ("display", 200_000_000, {"x"})

    def test_big_buffers_come_and_go_raw(self, frontend):
        """Buffers pass both ways as they are, also a megabyte of every byte."""
        code = """
from comm import create_comm
echo = create_comm(target_name='echo', comm_id='echo')
@echo.on_msg
def _(message): echo.send(message['content']['data'], buffers=message['buffers'])
"""
        assert frontend.run(code) == [("comm_open", {})]
        buffers = [bytes(range(256)) * 4096, b"", b"\0"]
        content = {"comm_id": "echo", "data": {"a": 1}}
        parent = frontend.send("shell", "comm_msg", content, buffers=buffers)
        frontend.recv_busy(parent)
        message = frontend.recv("iopub", "comm_msg", parent)
        assert message.buffers == buffers
        frontend.recv_idle(parent)
        assert frontend.run("echo.close()") == [("comm_close", {})]


class TestDisplayData:
    def test_what_json_cannot_say_is_told_where_it_was_sent(self, frontend):
        """A display that cannot be encoded fails in its own cell, and nothing else is lost."""
        code = """
from IPython.display import display
print('before')
display({'a/b': object(), 'text/plain': 'x'}, raw=True)
print('never')
"""
        transcript = frontend.run(code, "error")
        assert transcript[0] == ("stdout", "before\n")
        assert transcript[-1] == ("error", "TypeError")
        assert "object" in transcript.reply["evalue"]
        circle = "x = []; x.append(x); display({'a/b': x, 'text/plain': 'x'}, raw=True)"
        assert frontend.run(circle, "error") == [("error", "ValueError")]

    def test_what_json_says_otherwise_arrives(self, frontend):
        """NaN, bytes, dates, numpy, lone surrogates, odd keys: never a lost message."""
        code = r"""
import datetime
import numpy
from IPython.display import display
data = {
    'text/plain': 'x\ud800', 'a/nan': float('nan'), 'a/inf': [float('-inf')], 'a/bytes': b'abc',
    'a/date': datetime.datetime(2026, 1, 2), 'a/keys': {1: 2, None: 3, (1, 2): 5},
    'a/numpy': [numpy.float64(1.5), numpy.arange(3)], 'a/big': 2**80, 'a/set': {7},
}
display(data, raw=True)
"""
        transcript = frontend.run(code)
        (message,) = transcript.messages
        data = message.content["data"]
        assert data["text/plain"] == "x\ud800"
        assert data["a/nan"] is None
        assert data["a/inf"] == [None]
        assert data["a/bytes"] == "YWJj"
        assert data["a/date"].startswith("2026-01-02T00:00:00")
        assert data["a/numpy"] == [1.5, [0, 1, 2]]
        assert data["a/big"] == 2**80
        assert data["a/set"] == [7]
        assert data["a/keys"]["1"] == 2

    def test_a_repr_that_fails_costs_its_own_result(self, frontend):
        """As in IPython: the error of a __repr__ is shown, and the cell's other output stays."""
        code = "class R:\n def __repr__(self): 1 / 0\nprint('a'); R()"
        transcript = frontend.run(code, "error")
        assert transcript == [("stdout", "a\n"), ("error", "ZeroDivisionError")]

    def test_every_mime_bundle_of_a_rich_object(self, frontend):
        """text/plain is always there; a display id is transient and can be updated."""
        code = """
class Rich:
    def _repr_html_(self): return '<b>x</b>'
    def _repr_json_(self): return {'a': [1]}
    def _repr_png_(self): return b'\\x89PNG'
    def __repr__(self): return 'rich'
handle = display(Rich(), display_id='one')
handle.update(1)
Rich()
"""
        transcript = frontend.run(code)
        assert transcript == [("display", "rich"), ("update", "1"), ("result", "rich")]
        shown, updated, result = (m.content for m in transcript.messages)
        assert shown["data"]["text/html"] == result["data"]["text/html"] == "<b>x</b>"
        assert shown["data"]["application/json"] == {"a": [1]}
        assert shown["data"]["image/png"].strip() == "iVBORw=="
        assert shown["transient"] == updated["transient"] == {"display_id": "one"}

    def test_a_worker_publishes_nothing_that_is_the_supervisor_s(self, frontend):
        """G2, G26: a cell cannot forge a status; it is told so."""
        code = "get_ipython().kernel.session.send(None, 'status', {'execution_state': 'dead'})"
        assert frontend.run(code, "error") == [("error", "ValueError")]


# C code that holds the GIL and looks at no signal: three seconds at the least on any machine.
STUCK = "import itertools; print('held'); max(itertools.repeat(1, 10**8))"


class TestBusy:
    def test_all_that_the_supervisor_knows_is_answered_while_c_code_holds_the_gil(self, frontend):
        """G12: before the idle of the cell, which does not know of it; heartbeats too."""
        parent = frontend.execute(STUCK + "; 1")
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "held\n", parent)
        for _ in range(20):
            for channel in ("shell", "control"):
                frontend.request("kernel_info_request", channel=channel)
            frontend.request("comm_info_request")
            frontend.request("connect_request")
            frontend.beat()
        frontend.recv_result(parent, "1")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)

    def test_text_is_shown_before_c_code_lets_go(self, frontend):
        """G12, G4: what was printed is published while the GIL is held, not only afterwards."""
        parent = frontend.execute("import os; os.write(1, b'fd\\n')\n" + STUCK)
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "fd\nheld\n", parent)
        frontend.request("kernel_info_request")  # a pair that comes before the cell's idle
        frontend.recv_result(parent, "1")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)


class TestConnections:
    @pytest.mark.parametrize(
        "fields",
        [
            {"key": ""},
            {"signature_scheme": "hmac-sha512"},
            {"signature_scheme": "hmac-md5"},
            {"jupyter_session": "x", "unknown": {"a": 1}},
        ],
    )
    def test_schemes(self, tmp_path, fields):
        """Signed with each scheme, or not signed with an empty key."""
        with kernel(tmp_path / "kernel", fields=fields) as frontend:
            assert frontend.run("1") == [("result", "1")]
            assert json.loads(frontend.kernel.file.read_text()) == frontend.connection

    def test_ipc(self, tmp_path):
        """The same over sockets in the file system, which nobody else may open; all are removed."""
        with kernel(tmp_path / "k", transport="ipc") as frontend:
            assert frontend.run("print(1); 2") == [("stdout", "1\n"), ("result", "2")]
            frontend.beat()
            sockets = sorted(frontend.kernel.folder.glob("s-*"))
            assert len(sockets) == 5
            assert all(path.stat().st_mode & 0o077 == 0 for path in sockets)
