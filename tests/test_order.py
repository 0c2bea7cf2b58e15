"""The order of what a cell emits (G1 to G6, G8), over real sockets."""

from __future__ import annotations

import queue
import random
import re
import time

import pytest
from frontend import DEADLINE, Gate, UnexpectedError, merged
from jupyter_client.manager import start_new_kernel

LINES = re.compile(r"[^\n]*\n")

SETUP = """
import ctypes, multiprocessing, os, subprocess, sys, threading
from comm import create_comm
from IPython.display import clear_output, display, update_display
class Text:
    def __init__(self, text): self.text = text
    def __repr__(self): return self.text
libc = ctypes.CDLL(None)
"""


@pytest.fixture(autouse=True)
def _setup(frontend):
    assert frontend.run(SETUP) == []


def emissions(seed, count):
    """Draw lines of code that emit one thing each, and what is to come of them."""
    rng = random.Random(seed)
    code, expected, comms, displays = [], [], [], []
    for i in range(count):
        text = f"{i}{rng.choice(['', 'ä', '€', '𝄞', 'x' * 300])}"
        kinds = ["stdout", "stderr", "display", "clear", "comm_open", "partial", "rich"]
        kind = rng.choice(kinds + ["comm_msg", "comm_close"] * bool(comms) + ["update"] * 2)
        match kind:
            case "stdout" | "stderr":
                code.append(f"print({text!r}, file=sys.{kind})")
                expected.append((kind, text + "\n"))
            case "partial":
                code.append(f"sys.stdout.write({text!r}); sys.stdout.flush()")
                expected.append(("stdout", text))
            case "display":
                displays.append(i)
                code.append(f"display(Text({text!r}), display_id='d{i}')")
                expected.append(("display", text))
            case "rich":
                code.append(f"display({{'text/plain': {text!r}, 'a/b': [1]}}, raw=True)")
                expected.append(("display", text))
            case "update" if displays:
                code.append(f"update_display(Text('u'), display_id='d{rng.choice(displays)}')")
                expected.append(("update", "u"))
            case "update" | "clear":
                wait = rng.random() < 0.5
                code.append(f"clear_output(wait={wait})")
                expected.append(("clear", wait))
            case "comm_open":
                comms.append(i)
                code.append(f"c{i} = create_comm(target_name='t', data={{'n': {i}}})")
                expected.append(("comm_open", {"n": i}))
            case "comm_msg":
                code.append(f"c{rng.choice(comms)}.send({{'n': {i}}}, buffers=[b'{i}'])")
                expected.append(("comm_msg", {"n": i}))
            case "comm_close":
                which = comms.pop(rng.randrange(len(comms)))
                code.append(f"c{which}.close({{'n': {i}}})")
                expected.append(("comm_close", {"n": i}))
    for which in comms:
        code.append(f"c{which}.close({{}})")
        expected.append(("comm_close", {}))
    return code, expected


class TestOneSender:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_what_one_cell_emits_arrives_in_order_whatever_the_kinds(self, frontend, seed):
        """G1: 500 random emissions of all kinds and a result arrive in the order of the code."""
        code, expected = emissions(seed, 500)
        assert frontend.run("\n".join([*code, "'end'"])) == [
            *merged(expected),
            ("result", "'end'"),
        ]

    def test_an_error_comes_after_all_that_the_cell_emitted(self, frontend):
        """G1: the error is one of the kinds, and the last one."""
        code, expected = emissions(4, 100)
        transcript = frontend.run("\n".join([*code, "1 / 0"]), "error")
        assert transcript == [*merged(expected), ("error", "ZeroDivisionError")]
        (error,) = [m for m in transcript.messages if m.type == "error"]
        assert {"status": "error", **error.content}.items() <= transcript.reply.items()

    def test_hooks_emit_before_the_end_of_their_cell(self, frontend):
        """G1, G4 (race 3): what a post_run_cell hook or a flush of figures emits is the cell's."""
        hook = """
        def hook(*_):
            print("hook"); display(Text("from hook"))
        get_ipython().events.register("post_run_cell", hook)
        """
        hooked = [("stdout", "hook\n"), ("display", "from hook")]
        assert frontend.run(re.sub("^ {8}", "", hook, flags=re.MULTILINE)) == hooked
        assert frontend.run("print(1); 2") == [("stdout", "1\n"), ("result", "2"), *hooked]
        code = "get_ipython().events.unregister('post_run_cell', hook)"
        assert frontend.run(code) in ([], hooked)

    def test_two_threads_keep_their_own_orders(self, frontend):
        """G1, G5: each thread is a sender; nothing of either is lost, torn or overtaken."""
        code = """
def talk(name):
    for i in range(500):
        sys.stdout.write(f"{name} {i}\\n")
        sys.stderr.write(f"{name} {i}\\n")
        display(Text(f"{name} {i}"))
threads = [threading.Thread(target=talk, args=(name,)) for name in "ab"]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
        seen = {"a": [], "b": []}
        for kind, value in frontend.run(code):
            for line in LINES.findall(value) if kind != "display" else [value]:
                name, number = line.split()
                seen[name].append((kind, int(number)))
        for entries in seen.values():
            assert entries == [
                (kind, i) for i in range(500) for kind in ("stdout", "stderr", "display")
            ]


class TestRequests:
    def test_pairs_of_queued_requests_follow_each_other_in_order_of_arrival(self, frontend):
        """G2, G3: one busy first and one idle last for each, and no pair begins within another."""
        requests = []
        for i in range(60):
            match i % 5:
                case 0:
                    requests.append(("execute", frontend.execute(f"print({i})")))
                case 1:
                    content = {"code": "pri", "cursor_pos": 3}
                    requests.append(("", frontend.send("shell", "complete_request", content)))
                case 2:
                    content = {"code": "print", "cursor_pos": 5, "detail_level": 0}
                    requests.append(("", frontend.send("shell", "inspect_request", content)))
                case 3:
                    content = {"comm_id": "nobody", "data": {}}
                    requests.append((None, frontend.send("shell", "comm_msg", content)))
                case 4:
                    content = {"code": "f(", "cursor_pos": 2}
                    requests.append(("", frontend.send("shell", "is_complete_request", content)))
        for i, (kind, parent) in enumerate(requests):
            frontend.recv_busy(parent)
            if kind == "execute":
                frontend.recv_input(parent, f"print({i})")
                frontend.recv_stream("stdout", f"{i}\n", parent)
            frontend.recv_idle(parent)
        for kind, parent in requests:
            if kind is not None:
                assert frontend.recv("shell").parent_id == parent

    def test_a_silent_cell_that_had_to_wait_for_a_task_is_seen_to_begin(self, frontend, tmp_path):
        """G2: its worker wakes nobody when it begins; nothing else must be needed to see it."""
        task, cell = Gate(tmp_path), Gate(tmp_path)
        hog = f"async def hog():\n    await asyncio.sleep(0.05)\n    {task.wait}"
        assert frontend.run(f"import asyncio\n{hog}\n_ = asyncio.create_task(hog())") == []
        with task.meet():
            parent = frontend.execute(f"{cell.wait};")
            time.sleep(0.2)  # it has been looked for, and was not there
        released = time.monotonic()
        frontend.recv_begin(parent)
        assert time.monotonic() - released < DEADLINE / 3  # and not what wakes the kernel then
        cell.open()
        assert frontend.finish(parent, begun=True) == []

    def test_control_pairs_are_whole_within_a_cell(self, frontend):
        """G3: a pair of the control channel may fall into a cell; nothing falls into the pair."""
        parent = frontend.execute("for i in range(2000): display(Text('x'))")
        asked = [frontend.send("control", "kernel_info_request") for _ in range(20)]
        messages = [frontend.recv("iopub")]
        while sum(m.entry == ("status", "idle") for m in messages) < 21:
            messages.append(frontend.recv("iopub"))
        for request in asked:
            at = [m.parent_id for m in messages].index(request)
            pair = messages[at : at + 2]
            assert [(m.parent_id, m.entry[1]) for m in pair] == [
                (request, "busy"),
                (request, "idle"),
            ]
            del messages[at : at + 2]
        assert [m.entry for m in messages if m.type != "execute_input"] == [
            ("status", "busy"),
            *[("display", "x")] * 2000,
            ("status", "idle"),
        ]
        assert {m.parent_id for m in messages} == {parent}
        frontend.recv_reply(parent)
        for request in asked:
            frontend.recv_reply(request, msg_type="kernel_info_reply", channel="control")

    def test_300_cells_end_in_every_kind_of_output(self, frontend):
        """G4: what a cell's execution emitted comes before its idle, and nothing after it."""
        assert frontend.run("chat = create_comm(target_name='chat')") == [("comm_open", {})]
        endings = {
            "os.write(1, b'fd\\n');": ("stdout", "fd\n"),
            "print('print')": ("stdout", "print\n"),
            "display(Text('display'));": ("display", "display"),
            "chat.send({'n': 1})": ("comm_msg", {"n": 1}),
            "subprocess.run(['echo', 'child']);": ("stdout", "child\n"),
            "os.system('echo system');": ("stdout", "system\n"),
        }
        for i in range(50):
            for ending, expected in endings.items():
                code = f"print({i}); display(Text('{i}'))\n{ending}"
                assert frontend.run(code) == [("stdout", f"{i}\n"), ("display", str(i)), expected]

    def test_messages_are_seen_while_their_cell_goes_on(self, frontend, tmp_path):
        """G1: a display, text and a comm message of a cell that then waits for long."""
        gate = Gate(tmp_path)
        parent = frontend.execute(
            f"display(Text('a')); print('b'); chat = create_comm(target_name='t'); {gate.wait};"
        )
        frontend.recv_begin(parent)
        for entry in (("display", "a"), ("stdout", "b\n"), ("comm_open", {})):
            assert frontend.recv("iopub").entry == entry
        gate.open()
        assert frontend.recv("iopub", "status", parent).entry == ("status", "idle")
        frontend.recv_reply(parent)


class TestStreams:
    def test_streams_never_change_places(self, frontend):
        """G5: 5,000 lines on stdout and stderr in turn arrive in turn."""
        code = "for i in range(5000): print(i); print(i, file=sys.stderr)"
        assert frontend.run(code) == [
            (name, f"{i}\n") for i in range(5000) for name in ("stdout", "stderr")
        ]

    def test_a_flood_is_whole(self, frontend):
        """G5: 100,000 lines are the lines that were printed, in far fewer messages."""
        transcript = frontend.run("for i in range(100_000): print(i)")
        assert transcript == [("stdout", "".join(f"{i}\n" for i in range(100_000)))]
        assert len(transcript.messages) < 1000

    @pytest.mark.parametrize("how", ["print(text, end='')", "write(text.encode())"])
    def test_no_character_is_split(self, frontend, how):
        """G5: 3 million characters of 1 to 4 bytes arrive as they were, by print and by fd."""
        code = f"""
def write(data, size=4093):
    while data:
        data = data[os.write(1, data[:size]):]
text = 'a\\xe4\\u20ac\\U0001d11e\\n' * 600_000
{how}
"""
        assert frontend.run(code) == [("stdout", "aä€𝄞\n" * 600_000)]

    def test_a_character_written_in_halves_is_one(self, frontend):
        """G5: the second half may come much later, and something else in between."""
        code = "os.write(1, b'\\xe2\\x82'); print('x', file=sys.stderr); os.write(1, b'\\xac\\n');"
        assert frontend.run(code) == [("stderr", "x\n"), ("stdout", "€\n")]

    def test_bytes_that_are_no_text_are_shown_as_such(self, frontend):
        """G5: invalid UTF-8 on a descriptor costs its own bytes and nothing else."""
        assert frontend.run("os.write(1, b'a\\xff\\xfeb\\n');") == [("stdout", "a��b\n")]

    def test_half_a_character_at_the_end_of_a_cell_does_not_spoil_the_next(self, frontend):
        """G5: a cell may end within a character; what it has not completed is not lost silently."""
        first = frontend.run("os.write(1, b'ab\\xe2');")
        second = frontend.run("os.write(1, b'\\x82\\xac cd\\n');")
        joined = "".join(value for _, value in first + second)
        assert joined in ("ab€ cd\n", "ab� cd\n", "ab��� cd\n", "ab�� cd\n")

    def test_two_threads_print_long_texts_whole(self, frontend):
        """G5: a print of megabytes is sent in pieces, and nothing of another thread's is in it."""
        code = """
def talk(letter):
    for _ in range(3): sys.stdout.write(letter * 1_000_000 + '\\n')
threads = [threading.Thread(target=talk, args=(letter,)) for letter in ('\xe4', '\\ud800')]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
        ((name, text),) = frontend.run(code)
        lines = sorted(["ä" * 1_000_000 + "\n", "\ud800" * 1_000_000 + "\n"] * 3)
        assert (name, sorted(text.splitlines(keepends=True))) == ("stdout", lines)

    def test_lone_surrogates_cost_nothing_else(self, frontend):
        """G5: a str that is no Unicode text arrives as the same str."""
        code = "print('a\\ud800b'); print('c')"
        assert frontend.run(code) == [("stdout", "a\ud800b\nc\n")]


class TestDescriptors:
    def test_every_writer_stands_where_it_wrote(self, frontend):
        """G6: fd, print, fd, print, display, os.system: in order, 1,000 times of 1,000."""
        for start in range(0, 1000, 100):
            code = f"""
for i in range({start}, {start + 100}):
    os.write(1, b'A%d\\n' % i)
    print(f'B{{i}}')
    os.write(1, b'C%d\\n' % i)
    print(f'D{{i}}')
    display(Text(f'E{{i}}'))
    os.system(f'echo F{{i}}')
"""
            expected = []
            for i in range(start, start + 100):
                expected += [
                    ("stdout", f"A{i}\nB{i}\nC{i}\nD{i}\n"),
                    ("display", f"E{i}"),
                    ("stdout", f"F{i}\n"),
                ]
            assert frontend.run(code) == merged(expected)

    def test_both_descriptors_stand_where_they_were_written(self, frontend):
        """G6: the same for descriptor 2, with records of other kinds in between."""
        code = """
for i in range(500):
    os.write(2, b'A%d\\n' % i)
    print(f'B{i}')
    os.write(2, b'C%d\\n' % i)
    display(Text(f'D{i}'))
    os.write(1, b'E%d\\n' % i)
    print(f'F{i}', file=sys.stderr)
"""
        expected = []
        for i in range(500):
            expected += [
                ("stderr", f"A{i}\n"),
                ("stdout", f"B{i}\n"),
                ("stderr", f"C{i}\n"),
                ("display", f"D{i}"),
                ("stdout", f"E{i}\n"),
                ("stderr", f"F{i}\n"),
            ]
        assert frontend.run(code) == merged(expected)

    def test_what_the_c_library_holds_back_stands_where_it_was_put(self, frontend):
        """G6: puts and printf without fflush, between prints and displays, and at the end."""
        code = """
for i in range(200):
    libc.puts(b'A%d' % i)
    print(f'B{i}')
    libc.printf(b'C%d\\n', i)
    display(Text(f'D{i}'))
libc.puts(b'end');
"""
        expected = []
        for i in range(200):
            expected += [("stdout", f"A{i}\nB{i}\nC{i}\n"), ("display", f"D{i}")]
        assert frontend.run(code) == [*expected, ("stdout", "end\n")]

    def test_a_write_larger_than_the_pipe_stands_where_it_was_written(self, frontend):
        """G6: 5 MB through descriptor 1, with records before and after."""
        code = """
display(Text('before'))
data = b'0123456789abcde\\n' * (5 << 16)
while data: data = data[os.write(1, data):]
display(Text('after'))
"""
        assert frontend.run(code) == [
            ("display", "before"),
            ("stdout", "0123456789abcde\n" * (5 << 16)),
            ("display", "after"),
        ]

    def test_subprocesses_write_in_place(self, frontend):
        """G6: a child that has ended has written before whatever comes after it, on both."""
        code = """
for i in range(30):
    print(i)
    subprocess.run(['echo', 'out'])
    print(i)
    subprocess.run('echo err >&2', shell=True)
    display(Text(f'{i}'))
"""
        expected = []
        for i in range(30):
            expected += [
                ("stdout", f"{i}\nout\n{i}\n"),
                ("stderr", "err\n"),
                ("display", f"{i}"),
            ]
        assert frontend.run(code) == expected

    def test_forked_children_print_in_place(self, frontend):
        """G6, G38: print and os.write of a forked child come out where the child ran."""
        code = """
for i in range(30):
    print(f'A{i}')
    if (pid := os.fork()) == 0:
        print(f'B{i}')
        os.write(1, b'C%d\\n' % i)
        display(Text(f'D{i}'))
        os._exit(0)
    os.waitpid(pid, 0)
    print(f'E{i}')
"""
        text = "".join(f"A{i}\nB{i}\nC{i}\nD{i}\nE{i}\n" for i in range(30))
        assert frontend.run(code) == [("stdout", text)]

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_multiprocessing_children_print_in_place(self, frontend, method):
        """G6, G38: a multiprocessing child prints into its cell, whatever the start method."""
        code = f"""
print('before')
process = multiprocessing.get_context('{method}').Process(target=print, args=('child',))
process.start(); process.join()
print('after', process.exitcode)
"""
        assert frontend.run(code) == [("stdout", "before\nchild\nafter 0\n")]

    def test_a_pool_of_processes_prints_into_its_cell(self, frontend):
        """G6, G38: nothing that a pool of forked processes prints is lost."""
        code = """
def say(i): sys.stdout.write(f'{i}\\n')
with multiprocessing.get_context('fork').Pool(3) as pool:
    pool.map(say, range(50))
"""
        transcript = frontend.run(code)
        assert sorted("".join(v for _, v in transcript).split()) == sorted(map(str, range(50)))
        assert {kind for kind, _ in transcript} == {"stdout"}

    def test_descriptors_that_the_cell_replaced_do_not_matter(self, frontend):
        """G6: a cell that redirects descriptor 1 for a while gets its own text and no other's."""
        code = """
import tempfile
print('A')
with tempfile.TemporaryFile() as file:
    saved = os.dup(1)
    os.dup2(file.fileno(), 1)
    os.system('echo hidden')
    print('B')
    os.dup2(saved, 1); os.close(saved)
    file.seek(0); print(file.read())
os.system('echo C');
"""
        assert frontend.run(code) == [("stdout", "A\nB\nb'hidden\\n'\nC\n")]


# What late output is of: code of the cell that makes it, code of the cell that lets it happen.
LATE = {
    "thread": (
        "t = threading.Thread(target=late); t.start()",
        "go.set(); t.join()",
    ),
    "thread of a thread": (
        (
            "def outer():\n go.wait(); t = threading.Thread(target=late); t.start(); t.join()\n"
            "o = threading.Thread(target=outer); o.start()"
        ),
        "go.set(); o.join()",
    ),
    "timer": (
        "t = threading.Timer(0, late); t.start()",
        "go.set(); t.join()",
    ),
    "pool made before": (
        (
            "from concurrent.futures import ThreadPoolExecutor\n"
            "pool = ThreadPoolExecutor(1); f = pool.submit(late)"
        ),
        "go.set(); f.result()",
    ),
    "pool used later": (
        (
            "from concurrent.futures import ThreadPoolExecutor\n"
            "pool = ThreadPoolExecutor(1); pool.submit(int).result(); go.set()"
        ),
        "pool.submit(late).result()",
    ),
    "task": (
        (
            "import asyncio\nasync def task():\n await agot.wait(); say()\n"
            "agot = asyncio.Event(); t = asyncio.create_task(task())"
        ),
        "agot.set(); await t",
    ),
    "callback": (
        (
            "import asyncio\nasked = asyncio.Event()\n"
            "def callback():\n say(); asked.set()\n"
            "asyncio.get_running_loop().call_soon(lambda: None)\n"
            "agot = asyncio.Event()\n"
            "async def wait():\n await agot.wait()\n"
            "t = asyncio.create_task(wait()); t.add_done_callback(lambda _: callback())"
        ),
        "agot.set(); await asked.wait()",
    ),
    "to_thread": (
        "import asyncio\nt = asyncio.create_task(asyncio.to_thread(late)); await asyncio.sleep(0)",
        "go.set(); await t",
    ),
}

PREPARE = """
import threading, sys, asyncio
from IPython.display import display
go = threading.Event()
def say():
    sys.stdout.write('late\\n')
def late():
    go.wait(); say()
"""


def with_top_level_await(code):
    """Let the cell have a running loop, which ipykernel's cells always have."""
    return code + "\nawait asyncio.sleep(0)"


@pytest.fixture(scope="module")
def peer():
    """A client of ipykernel, to be compared with."""
    pytest.importorskip("ipykernel", minversion="7.4")
    manager, client = start_new_kernel(kernel_name="python3")
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


def owner_on_peer(client, *cells):
    """Run cells on ipykernel; tell which of them 'late' belonged to."""
    numbers, owner, idle = {}, None, False
    for i, code in enumerate(cells):
        numbers[client.execute(code)] = i
        assert client.get_shell_msg(timeout=DEADLINE)["content"]["status"] == "ok", code
    while owner is None or not idle:
        try:
            message = client.get_iopub_msg(timeout=DEADLINE)
        except queue.Empty:
            raise UnexpectedError("ipykernel printed nothing") from None
        number = numbers.get(message["parent_header"].get("msg_id"))
        idle |= number == len(cells) - 1 and message["content"].get("execution_state") == "idle"
        if message["msg_type"] == "stream" and "late" in message["content"]["text"]:
            owner = number
    return owner


class TestLateOutput:
    @pytest.mark.parametrize("case", LATE)
    def test_late_output_keeps_its_cell(self, frontend, case):
        """G4: what a thread or task emits while a later cell runs belongs to the one it is of."""
        make, use = map(with_top_level_await, LATE[case])
        assert frontend.run(PREPARE) == []
        first = frontend.execute(make)
        assert frontend.finish(first) == []
        second = frontend.execute(use)
        frontend.recv_begin(second)
        owner = second if case == "pool used later" else first
        frontend.recv_stream("stdout", "late\n", owner)
        frontend.recv_idle(second)
        frontend.recv_reply(second)

    @pytest.mark.parametrize("case", LATE)
    def test_late_output_side_by_side_with_ipykernel(self, peer, case):
        """G4: ipykernel 7.4 gives tasks the same owner, and threads the cell that runs by chance.

        That cell is not the cause of what a thread prints, so there we part from ipykernel.
        """
        cells = [PREPARE, *map(with_top_level_await, LATE[case])]
        same = case in ("task", "callback", "to_thread")
        assert owner_on_peer(peer, *cells) == (1 if same else 2)

    def test_late_displays_and_comms_keep_their_cell(self, frontend):
        """G4: not only text, and the cell that runs meanwhile keeps its own."""
        assert frontend.run(PREPARE + "chat = create_comm(target_name='t')")
        make = "def late():\n go.wait(); display(Text('late')); chat.send({}); chat.close()\n"
        first = frontend.execute(make + "t = threading.Thread(target=late); t.start()")
        assert frontend.finish(first) == []
        second = frontend.execute("print('mine'); go.set(); t.join(); print('mine, too')")
        frontend.recv_begin(second)
        frontend.recv_stream("stdout", "mine\n", second)
        frontend.recv_display(first, "late")
        frontend.recv("iopub", "comm_msg", first)
        frontend.recv("iopub", "comm_close", first)
        frontend.recv_stream("stdout", "mine, too\n", second)
        frontend.recv_idle(second)
        frontend.recv_reply(second)

    def test_tasks_go_on_between_cells(self, frontend):
        """G4: a task that nobody waits for prints while no cell runs, under its own cell."""
        code = """
import asyncio
async def count():
    for i in range(3):
        await asyncio.sleep(0.01); print(i)
task = asyncio.create_task(count())
"""
        parent = frontend.execute(code)
        frontend.recv_begin(parent)
        frontend.recv_idle(parent)
        frontend.recv_stream("stdout", "0\n1\n2\n", parent)
        frontend.recv_reply(parent)

    def test_a_thread_prints_between_cells(self, frontend, tmp_path):
        """G4: late output while no cell runs is published at once, under its own cell."""
        gate = Gate(tmp_path)
        make = f"t = threading.Thread(target=lambda: print({gate.wait})); t.start()"
        parent = frontend.execute(make)
        assert frontend.finish(parent) == []
        gate.open("late")
        frontend.recv_stream("stdout", "late\n", parent)

    def test_a_lingering_child_prints_between_cells(self, frontend, tmp_path):
        """G4: a child left behind writes when no cell runs: under the newest cell, not lost."""
        gate = Gate(tmp_path)
        parent = frontend.execute(f"child = subprocess.Popen(['cat', '{gate.path}'])")
        assert frontend.finish(parent) == []
        gate.open("late\n")
        frontend.recv_stream("stdout", "late\n", parent)
        assert frontend.run("child.wait()") == [("result", "0")]

    def test_a_lingering_child_prints_during_a_later_cell(self, frontend, tmp_path):
        """G4: whoever wrote to a descriptor cannot be asked; it belongs to the cell that runs."""
        gate = Gate(tmp_path)
        assert frontend.run(f"child = subprocess.Popen(['cat', '{gate.path}'])") == []
        code = f"open('{gate.path}', 'w').write('late\\n'); child.wait(); print('after')"
        assert frontend.run(code) == [("stdout", "late\nafter\n")]

    def test_a_request_that_is_no_cell_takes_no_late_output(self, frontend, tmp_path):
        """G4: what a child writes while a completion was the last request is not the completion's.

        It was not its cause. The cell before was, or nobody.
        """
        gate = Gate(tmp_path)
        parent = frontend.execute(f"child = subprocess.Popen(['cat', '{gate.path}'])")
        assert frontend.finish(parent) == []
        frontend.request("complete_request", {"code": "pri", "cursor_pos": 3})
        gate.open("late\n")
        frontend.recv_stream("stdout", "late\n", parent)
        assert frontend.run("child.wait()") == [("result", "0")]
