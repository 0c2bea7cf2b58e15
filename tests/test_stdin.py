"""input() and getpass() (G7, G30, G33), and the order in which sockets are used (G7, G8)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from frontend import kernel
from handed import handed


def ask(frontend, code, prompt, *, password=False):
    """Start a cell that asks; give it and its prompt."""
    parent = frontend.execute(code, allow_stdin=True)
    frontend.recv_begin(parent)
    return parent, recv_prompt(frontend, parent, prompt, password=password)


def recv_prompt(frontend, parent, prompt, *, password=False):
    message = frontend.recv("stdin", "input_request", parent)
    assert message.content == {"prompt": prompt, "password": password}
    return message


def end(frontend, parent, result):
    frontend.recv_result(parent, result)
    frontend.recv_idle(parent)
    frontend.recv_reply(parent)


class TestPrompts:
    def test_input_gets_the_answer(self, frontend):
        """G7, G9: the prompt goes to the asking client, with its request as parent."""
        parent, prompt = ask(frontend, "input('name? ')", "name? ")
        frontend.send_input("Ada ä€𝄞", prompt)
        end(frontend, parent, "'Ada ä€𝄞'")

    def test_getpass_asks_for_a_password(self, frontend):
        """G7: password is true, and the default prompt is Python's."""
        code = "from getpass import getpass; getpass()"
        parent, prompt = ask(frontend, code, "Password: ", password=True)
        frontend.send_input("secret", prompt)
        end(frontend, parent, "'secret'")

    def test_two_prompts_in_one_cell(self, frontend):
        """G7: what is printed between them stands between them; each gets its own answer."""
        code = "a = input('first'); print(a); b = input('second'); a + b"
        parent, first = ask(frontend, code, "first")
        frontend.send_input("1", first)
        frontend.recv_stream("stdout", "1\n", parent)
        second = recv_prompt(frontend, parent, "second")
        frontend.send_input("2", second)
        end(frontend, parent, "'12'")

    def test_a_hundred_prompts(self, frontend):
        """G7: question and answer, a hundred times in one cell."""
        parent = frontend.execute("[int(input(i)) for i in range(100)] == [*range(100)]",
                                  allow_stdin=True)  # fmt: skip
        frontend.recv_begin(parent)
        for i in range(100):
            frontend.send_input(str(i), recv_prompt(frontend, parent, str(i)))
        end(frontend, parent, "True")

    def test_a_client_that_names_no_prompt_is_answered(self, frontend):
        """G7: not every client says which prompt it answers, or names the cell instead."""
        for header in ({}, None):
            parent, _ = ask(frontend, "input()", "")
            answer = header if header is not None else {"msg_id": parent}
            frontend.send("stdin", "input_reply", {"value": "x"}, parent=answer)
            end(frontend, parent, "'x'")

    def test_an_answer_that_is_no_answer_is_an_empty_line(self, frontend):
        """G9, G26: malformed content of an input_reply ends the prompt and nothing else."""
        for content in ({}, {"value": None}, {"value": 5}, [], b"not json", b"\xff"):
            parent, prompt = ask(frontend, "input(); 1", "")
            frontend.send_input(None, prompt, content=content)
            frontend.recv_until_idle(parent)
            frontend.recv("shell", "execute_reply", parent)
            assert frontend.run("2") == [("result", "2")]

    def test_end_of_file(self, frontend):
        """Control-D, as a console sends it, raises EOFError."""
        parent, prompt = ask(frontend, "try: input()\nexcept EOFError as e: print('eof')", "")
        frontend.send_input("\x04", prompt)
        frontend.recv_stream("stdout", "eof\n", parent)
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)


class TestRefusals:
    def test_a_client_that_cannot_answer_is_not_asked(self, frontend):
        """allow_stdin false, or absent: StdinNotImplementedError at once, and no input_request."""
        name = "StdinNotImplementedError"
        assert frontend.run("input()", "error", allow_stdin=False) == [("error", name)]
        assert frontend.run("import getpass; getpass.getpass()", "error") == [("error", name)]
        parent = frontend.send("shell", "execute_request", {"code": "input()"})
        assert frontend.finish(parent, "error") == [("error", name)]

    def test_a_thread_cannot_ask(self, frontend):
        """Race 38: it raises in the thread, and the cell goes on."""
        code = """
import threading
from IPython.core.error import StdinNotImplementedError
def ask():
    try: input()
    except StdinNotImplementedError as error: print(type(error).__name__)
thread = threading.Thread(target=ask); thread.start(); thread.join()
"""
        assert frontend.run(code, allow_stdin=True) == [("stdout", "StdinNotImplementedError\n")]

    def test_a_forked_child_cannot_ask(self, frontend):
        """G38: a child must not take its parent's answers."""
        code = """
import os
if (pid := os.fork()) == 0:
    try: input('child')
    except BaseException as error: print(type(error).__name__)
    os._exit(0)
os.waitpid(pid, 0); input('parent')
"""
        parent = frontend.execute(code, allow_stdin=True)
        frontend.recv_begin(parent)
        frontend.recv_stream("stdout", "StdinNotImplementedError\n", parent)
        frontend.send_input("x", recv_prompt(frontend, parent, "parent"))
        end(frontend, parent, "'x'")

    def test_sys_stdin_is_empty(self, frontend):
        """Descriptor 0 and sys.stdin are at their end; a child that reads does not hang."""
        code = "import sys, subprocess; sys.stdin.read(), subprocess.run(['cat']).returncode"
        assert frontend.run(code, allow_stdin=True) == [("result", "('', 0)")]


class TestLateAnswers:
    def test_an_answer_after_its_cell_is_dropped(self, frontend):
        """G33, race 37: answers with no open prompt reach nobody."""
        parent, prompt = ask(frontend, "input('one')", "one")
        frontend.send_input("1", prompt)
        frontend.send_input("again", prompt)
        end(frontend, parent, "'1'")
        parent, second = ask(frontend, "input('two')", "two")
        frontend.send_input("late", prompt)
        frontend.send_input("2", second)
        end(frontend, parent, "'2'")

    def test_an_answer_sent_before_the_question_is_dropped(self, frontend):
        """Race 37: what was typed for nobody answers no later prompt."""
        frontend.send("stdin", "input_reply", {"value": "early"}, parent={"msg_id": "nobody"})
        parent, prompt = ask(frontend, "input()", "")
        frontend.send_input("in time", prompt)
        end(frontend, parent, "'in time'")

    def test_another_client_s_answer_is_ignored(self, frontend):
        """G33: only the client that is asked can answer, whatever the other one knows."""
        other = frontend.connect()
        try:
            parent, prompt = ask(frontend, "input('mine')", "mine")
            for _ in range(2):
                message = other.recv("iopub", None)
                assert message.parent_id == parent
            other.send_input("not mine", prompt)
            frontend.send_input("my own", prompt)
            end(frontend, parent, "'my own'")
            for kind in ("execute_result", "status"):
                other.recv("iopub", kind, parent)
        finally:
            frontend.disconnect(other)

    def test_the_asked_client_is_the_one_that_sent_the_cell(self, frontend):
        """G7: a prompt goes to the second client if the second client's cell asks."""
        other = frontend.connect()
        try:
            parent = other.execute("input('whose?')", allow_stdin=True)
            other.recv_begin(parent)
            for _ in range(2):
                assert frontend.recv("iopub").parent_id == parent
            other.send_input("other's", recv_prompt(other, parent, "whose?"))
            end(other, parent, '"other\'s"')
            for kind in ("execute_result", "status"):
                frontend.recv("iopub", kind, parent)
        finally:
            frontend.disconnect(other)


class TestDebugger:
    def test_pdb_asks_the_client(self, frontend):
        """%debug is a conversation on stdin, and can be left."""
        assert frontend.run("def f(x): return 1 / x\nf(0)", "error") == [
            ("error", "ZeroDivisionError")
        ]
        parent = frontend.execute("%debug", allow_stdin=True)
        frontend.recv_begin(parent)
        text = ""
        answers = iter(["p x + 41", "q"])
        while True:
            while not frontend.sockets["stdin"].poll(0):
                if frontend.sockets["iopub"].poll(10):
                    message = frontend.recv("iopub")
                    if message.entry == ("status", "idle"):
                        break
                    text += message.content["text"]
            else:
                prompt = frontend.recv("stdin", "input_request", parent)
                assert prompt.content["prompt"].startswith("ipdb>")
                frontend.send_input(next(answers), prompt)
                continue
            break
        assert "41\n" in text
        frontend.recv_reply(parent)


class TestHanded:
    @pytest.fixture
    def watched(self, tmp_path):
        command = (sys.executable, str(Path(__file__).with_name("handed.py")))
        notes = tmp_path / "handed"
        notes.touch()
        env = {"HANDED": str(notes)}
        with kernel(tmp_path / "kernel", command=command, env=env) as frontend:
            yield frontend, notes

    def test_all_that_was_emitted_is_handed_over_before_the_prompt(self, watched):
        """G7: by print, display and descriptor, flushed or not, 50 times; no sleeps."""
        frontend, notes = watched
        code = """
import os
for i in range(50):
    print(i, end=' ')
    os.write(1, b'fd')
    input(f'{i}?')
"""
        parent = frontend.execute(code, allow_stdin=True)
        frontend.recv_begin(parent)
        for i in range(50):
            frontend.recv_stream("stdout", f"{i} fd", parent)
            frontend.send_input("x", recv_prompt(frontend, parent, f"{i}?"))
        frontend.recv_idle(parent)
        frontend.recv_reply(parent)
        frontend.shutdown()
        frontend.end()
        text = ""
        for socket, msg_type, _, said in handed(notes):
            if msg_type == "stream":
                text += said
            elif msg_type == "input_request":
                assert socket == "router"
                assert text.endswith(f"{said[:-1]} fd"), (said, text)
        assert text == "".join(f"{i} fd" for i in range(50))

    def test_a_reply_is_handed_over_after_its_idle(self, watched):
        """G8: whoever has the reply waits for nothing that the kernel has yet to do."""
        frontend, notes = watched
        for i in range(20):
            frontend.run(f"print({i})")
            frontend.run("1 / 0", "error")
            frontend.request("complete_request", {"code": "pri", "cursor_pos": 3})
        frontend.request("kernel_info_request")
        frontend.request("kernel_info_request", channel="control")
        frontend.request("comm_info_request")
        parent = frontend.execute("import os; os._exit(3)")
        frontend.recv_begin(parent)
        frontend.recv_error(parent, "KernelExited")
        frontend.recv_idle(parent)
        frontend.recv_reply(parent, "error")
        frontend.shutdown()
        frontend.end()
        over, replies = set(), 0
        for socket, msg_type, whose, said in handed(notes):
            if msg_type == "status" and said == "idle":
                over.add(whose)
            elif socket == "iopub":
                assert whose not in over, (msg_type, said)
            elif msg_type.endswith("_reply"):
                assert whose in over, msg_type
                replies += 1
        assert replies == 3 * 20 + 3 + 1 + 2  # and of `shutdown`: comm_info, shutdown
