"""Notebooks, executed by nbclient; their outputs are what a person sees (G1, G4, G6)."""

from __future__ import annotations

import asyncio
import re

import nbclient
import nbformat
import pytest
from bulkhead_kernel.kernelspec.channels import Client
from frontend import merged
from jupyter_client.manager import AsyncKernelManager
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = pytest.mark.usefixtures("kernelspec")

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def shown(output):
    """Say what an output shows: (kind, text)."""
    match output["output_type"]:
        case "stream":
            return output["name"], output["text"]
        case "error":
            return "error", output["ename"]
        case kind:
            names = {"display_data": "display", "execute_result": "result"}
            return names[kind], output["data"].get("text/plain")


def execute(*codes, **options):
    """Execute cells in a new kernel; give the executed cells.

    With a client that hears each reply: without it, a widget's cell waits for its time-out now and
    then (docs/compatibility.md).
    """
    spec = {"name": "bulkhead", "display_name": "Bulkhead", "language": "python"}
    cells = [new_code_cell(code) for code in codes]
    book = new_notebook(cells=cells, metadata={"kernelspec": spec})
    kernel = AsyncKernelManager(
        kernel_name="bulkhead", client_class=f"{Client.__module__}.{Client.__name__}"
    )
    client = nbclient.NotebookClient(book, kernel, timeout=60, **options)
    client.owns_km = True  # it is to start and to end it
    asyncio.run(client.async_execute())
    nbformat.validate(book)
    return book.cells


def outputs(*codes, **options):
    """Execute cells; give what each of them shows."""
    return [merged(map(shown, cell["outputs"])) for cell in execute(*codes, **options)]


def test_numpy():
    """Arrays are shown, errors of C code are Python's."""
    assert outputs(
        "import numpy as np\nnp.arange(6).reshape(2, 3)",
        "print(np.ones(3).sum()); np.float64(1.5)",
        "np.show_config('dicts')['Build Dependencies'] is not None",
    ) == [
        [("result", "array([[0, 1, 2],\n       [3, 4, 5]])")],
        [("stdout", "3.0\n"), ("result", "np.float64(1.5)")],
        [("result", "True")],
    ]


def test_pandas():
    """A table is HTML and text, by result and by display."""
    cells = execute(
        "import pandas as pd\nframe = pd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})\nframe",
        "display(frame.describe())\nframe.b",
    )
    (table,) = cells[0].outputs
    assert table.data["text/plain"] == "   a  b\n0  1  x\n1  2  y"
    assert "<table" in table.data["text/html"]
    described, column = cells[1].outputs
    assert "<table" in described.data["text/html"]
    assert column.data["text/plain"].startswith("0    x\n1    y\nName: b")


def test_matplotlib():
    """Figures appear by themselves, where their cell ends, once; %matplotlib inline or not."""
    draw = "import matplotlib.pyplot as plt\nprint('before')\nplt.plot([1, 2]);"
    cells = execute(
        draw,
        "print('between')",
        "%matplotlib inline\nplt.plot([2, 1]); plt.show(); print('after')",
        "%config InlineBackend.figure_formats = ['svg']\nplt.plot([1]);",
        "fig, ax = plt.subplots(); fig",
    )
    kinds = [[kind for kind, _ in merged(map(shown, cell.outputs))] for cell in cells]
    assert kinds == [
        ["stdout", "display"],
        ["stdout"],
        ["display", "stdout"],
        ["display"],
        ["result", "display"],
    ]
    assert cells[0].outputs[-1].data["image/png"].startswith("iVBOR")
    assert "<svg" in cells[3].outputs[0].data["image/svg+xml"]


def test_matplotlib_after_an_error():
    """The figure of a failing cell belongs to it, or to nobody; never to the next one."""
    cells = execute(
        "import matplotlib.pyplot as plt\nplt.plot([1])\n1 / 0",
        "print('next')",
        allow_errors=True,
    )
    assert ("error", "ZeroDivisionError") in [shown(o) for o in cells[0].outputs]
    assert [shown(o) for o in cells[1].outputs] == [("stdout", "next\n")]


def test_ipywidgets():
    """A widget is a view of a model; the Output widget captures; nbclient holds its state."""
    cells = execute(
        "import ipywidgets as w\nslider = w.IntSlider(value=3)\nslider",
        "slider.value = 5\nslider.value",
        "out = w.Output()\nwith out:\n    print('inside')\nprint('outside')",
        "out",
        "@w.interact(x=2)\ndef f(x): print('x', x)",
    )
    (view,) = cells[0].outputs
    assert "application/vnd.jupyter.widget-view+json" in view.data
    assert [shown(o) for o in cells[1].outputs] == [("result", "5")]
    assert [shown(o) for o in cells[2].outputs] == [("stdout", "outside\n")]
    assert "widget-view" in str(cells[3].outputs[0].data.keys())


def test_asyncio():
    """Top-level await, tasks that go on between cells, async for and with."""
    assert outputs(
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0.001)\n    return x\nawait f(1)",
        "task = asyncio.create_task(f(2))\nprint('made')",
        "await task",
        "await asyncio.gather(*map(f, range(3)))",
        "async def numbers():\n    for i in range(3):\n        yield i\n"
        "async for i in numbers(): print(i)",
        "async with asyncio.timeout(5): print(await asyncio.to_thread(abs, -1))",
        "asyncio.get_event_loop() is asyncio.get_running_loop()",
    ) == [
        [("result", "1")],
        [("stdout", "made\n")],
        [("result", "2")],
        [("result", "[0, 1, 2]")],
        [("stdout", "0\n1\n2\n")],
        [("stdout", "1\n")],
        [("result", "True")],
    ]


def test_subprocess():
    """Children print into their cell, in their place (G6)."""
    assert outputs(
        "import subprocess, sys, os\nprint('a')\nsubprocess.run(['echo', 'b'], check=True)\n"
        "print('c')\nos.system('echo d');",
        "subprocess.run([sys.executable, '-c', 'print(5)'], capture_output=True).stdout",
        "subprocess.Popen('echo e; exit 3', shell=True).wait()",
    ) == [
        [("stdout", "a\nb\nc\nd\n")],
        [("result", "b'5\\n'")],
        [("stdout", "e\n"), ("result", "3")],
    ]


def test_modules_of_processes_are_the_user_s():
    """The interpreter was forked, and no module of processes that the user may want knows of it."""
    assert outputs(
        "import sys; [name for name in ('multiprocess', 'dill') if name in sys.modules]",
        "import multiprocess as mp\n"
        "mp.current_process(), mp.active_children(), mp.parent_process()",
        "with mp.Pool(1) as pool: print(pool.map(lambda x: x + 1, [1]))",
        "import multiprocessing as mp; mp.current_process(), mp.active_children()",
    ) == [
        [("result", "[]")],
        [("result", "(<_MainProcess name='MainProcess' parent=None started>, [], None)")],
        [("stdout", "[2]\n")],
        [("result", "(<_MainProcess name='MainProcess' parent=None started>, [])")],
    ]


def test_multiprocessing():
    """The user's own multiprocessing is untouched: names, pools, start methods."""
    assert outputs(
        "import multiprocessing as mp\nmp.current_process().name, mp.parent_process()",
        "def f(x): return x * x\n"
        "with mp.get_context('fork').Pool(2) as p: print(p.map(f, range(4)))",
        "from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor\n"
        "with ProcessPoolExecutor(2, mp.get_context('fork')) as p: print(list(p.map(f, range(3))))",
        "q = mp.get_context('spawn').Queue()\n"
        "p = mp.get_context('spawn').Process(target=q.put, args=(7,))\n"
        "p.start(); print(q.get()); p.join()",
    ) == [
        [("result", "('MainProcess', None)")],
        [("stdout", "[0, 1, 4, 9]\n")],
        [("stdout", "[0, 1, 4]\n")],
        [("stdout", "7\n")],
    ]


def test_tqdm():
    """tqdm.auto finds a notebook and shows a widget, and a loop with print stays in order."""
    cells = execute(
        "from tqdm.auto import tqdm, trange\n'tqdm.notebook' in str(tqdm.__mro__)",
        "for i in trange(3): print(i)",
    )
    assert [shown(output) for output in cells[0].outputs] == [("result", "True")]
    kinds = [shown(o)[0] for o in cells[1].outputs]
    assert kinds[0] == "display"
    text = "".join(shown(o)[1] for o in cells[1].outputs if shown(o)[0] == "stdout")
    assert text == "0\n1\n2\n"


def test_shell():
    """%%bash, ! and !! and its capture."""
    assert outputs(
        "%%bash\necho out\necho err >&2",
        "!echo one; echo two",
        "files = !echo three\nfiles[0]",
        "%%bash --out text\necho captured",
        "text",
        "%%sh\nexit 3",
        allow_errors=True,
    )[1:] == [
        [("stdout", "one\r\ntwo\r\n")],
        [("result", "'three'")],
        [],
        [("result", "'captured\\n'")],
        [("error", "CalledProcessError")],
    ]


def test_bash_streams():
    """%%bash: both streams of the script are the cell's."""
    (seen,) = outputs("%%bash\necho out\necho err >&2")
    assert sorted(seen) == [("stderr", "err\n"), ("stdout", "out\n")]


def test_magics(tmp_path):
    """Line and cell magics of IPython, as in any notebook."""
    file = tmp_path / "module.py"
    seen = outputs(
        f"%cd -q {tmp_path}\n%pwd",
        "%%writefile module.py\nx = 41",
        "%load_ext autoreload\n%autoreload 2\nimport module\nmodule.x",
        "%%capture taken\nprint('hidden')",
        "taken.stdout",
        "%run module.py\nx + 1",
        "%time 1 + 1",
        "%env BULKHEAD_TEST_X=5\nimport os; os.environ['BULKHEAD_TEST_X']",
        "%who_ls int",
        "%%html\n<b>x</b>",
        "%reset -f\n'x' in globals()",
    )
    assert file.read_text() == "x = 41\n"
    assert seen[0] == [("result", repr(str(tmp_path)))]
    assert seen[1] == [("stdout", "Writing module.py\n")]
    assert seen[2] == [("result", "41")]
    assert seen[3] == []
    assert seen[4] == [("result", "'hidden\\n'")]
    assert seen[5] == [("result", "42")]
    assert seen[6][0][0] == "stdout"
    assert seen[6][1] == ("result", "2")
    assert seen[7][1] == ("result", "'5'")
    assert seen[8] == [("result", "['x']")]
    assert seen[9][0][0] == "display"
    assert seen[10] == [("result", "False")]


def test_old_results():
    """_, __, Out, In, _i, and the counter."""
    cells = execute("1", "_ + 1", "__ + _, Out[1], In[1], _i2", "len(In)")
    assert [shown(cell.outputs[0])[1] for cell in cells] == [
        "1",
        "2",
        "(3, 1, '1', '_ + 1')",
        "5",
    ]
    assert [cell.execution_count for cell in cells] == [1, 2, 3, 4]


def test_errors_and_debug():
    """Tracebacks name the cell; %debug, with no one to ask, fails alone; %xmode and %tb work."""
    cells = execute(
        "def f(x):\n    y = 0\n    return x / y",
        "f(1)",
        "%tb",
        "%debug",
        "%xmode Minimal\nf(1)",
        "raise SystemExit",
        "print('alive')",
        allow_errors=True,
    )
    seen = [[shown(o) for o in cell.outputs] for cell in cells]
    traceback = ANSI.sub("", "\n".join(cells[1].outputs[0].traceback))
    assert seen[1] == [("error", "ZeroDivisionError")]
    assert "return x / y" in traceback
    assert "line 3" in traceback
    assert "worker/" not in traceback, "frames of the kernel are not the user's business"
    assert seen[2][-1] == ("error", "ZeroDivisionError")
    assert seen[3][-1] == ("error", "StdinNotImplementedError")
    assert seen[4][-1] == ("error", "ZeroDivisionError")
    assert ("error", "SystemExit") in seen[5]
    assert seen[6] == [("stdout", "alive\n")]


def test_displays_are_updated_and_cleared():
    """display_id, update_display and clear_output, also with wait."""
    assert outputs(
        "from IPython.display import display, clear_output, update_display\n"
        "h = display('one', display_id=True)\nh.update('two')",
        "print('gone'); clear_output(); print('stays')",
        "for i in range(3): clear_output(wait=True); display(i)",
        "h.update('three')",
    ) == [
        [("display", "'three'")],
        [("stdout", "stays\n")],
        [("display", "2")],
        [],
    ]


def test_rich_reprs():
    """HTML, Markdown, LaTeX, JSON, images; _repr_mimebundle_; the order of outputs."""
    cells = execute(
        "from IPython.display import *\n"
        "display(HTML('<i>'), Markdown('*x*'), Latex('$x$'), JSON({'a': 1}))\n"
        "class Bundle:\n"
        "    def _repr_mimebundle_(self, **_):\n"
        "        return {'text/plain': 'b', 'application/x+json': {'y': 1}}\n"
        "Bundle()",
    )
    kinds = [set(output.data) - {"text/plain"} for output in cells[0].outputs]
    assert kinds == [
        {"text/html"},
        {"text/markdown"},
        {"text/latex"},
        {"application/json"},
        {"application/x+json"},
    ]


def test_start_up_files_and_profile(tmp_path, monkeypatch):
    """IPython's own profile, configuration and start-up files are read."""
    profile = tmp_path / "profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "startup" / "10.py").write_text("from_startup = 11")
    (profile / "ipython_config.py").write_text(
        "c = get_config()\nc.InteractiveShellApp.exec_lines = ['from_config = 22']\n"
        "c.InteractiveShell.ast_node_interactivity = 'all'\n"
    )
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    assert outputs("from_startup\nfrom_config") == [[("result", "11"), ("result", "22")]]


def test_a_module_of_the_user_s_may_have_any_name(tmp_path, monkeypatch):
    """A socket.py, shared.py or worker.py in the notebook's folder does no harm, and is found."""
    for name in ("socket", "shared", "worker", "zmq", "json", "records"):
        (tmp_path / f"{name}.py").write_text("mine = 1")
    monkeypatch.chdir(tmp_path)
    assert outputs("import shared, worker\nshared.mine + worker.mine") == [[("result", "2")]]
