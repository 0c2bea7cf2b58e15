"""What a program may hold when its interpreter dies, and what becomes of that: cases, as data.

A case sets something up, dies, and looks at it. The verdict has to be honest: right, or told to be
lost, or refused with a reason. These are the cases of the language and of IPython; the others are
in the files beside this one.
"""

from __future__ import annotations

from typing import NamedTuple

DIE = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


HTTP_SERVER = """code = '''
import http.server
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = self.path.encode()
        self.send_response(200); self.send_header('Content-Length', str(len(body)))
        self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H); print(s.server_port, flush=True)
s.serve_forever()
'''
server = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True,
                          start_new_session=True)
"""
"""Code that starts a server in a session of its own, which keeps connections alive."""


class Case(NamedTuple):
    """One thing that a program may hold."""

    name: str
    setup: str
    """One cell or more, parted by lines of ``%%``."""
    probe: str
    """A cell whose last expression is looked at, after the death."""
    result: str
    """Its repr."""
    losses: tuple[str, ...] = ()
    """Words that the report has to have about what did not come back; with none it has none."""
    behind: str = ""
    """Words of the reason for which there is no snapshot of the last cell of the setup; ``probe``
    runs on the one before."""
    moved: str = ""
    """Words of the reason for which values are moved to a new interpreter, one by one."""
    refused: str = ""
    """Words of the reason for which nothing is restored; ``probe`` runs on a new interpreter."""
    fatal: str = DIE
    """The cell that dies."""
    complains: bool = False
    """The library tells at its end that it could not end well."""
    needs: tuple[str, ...] = ()
    """Modules without which there is no such case."""

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


LANGUAGE = [
    Case(
        "plain values",
        """
n, big, s, b = 1, 10**40, 'grüße', b'\\0x'
data = {'a': [1, 2.5, None], (1, 2): {3}, 'f': frozenset([4])}
alias = data['a']
cycle = []; cycle.append(cycle)
""",
        "(n, big == 10**40, s, b, data, alias is data['a'], cycle[0] is cycle)",
        "(1, True, 'grüße', b'\\x00x', {'a': [1, 2.5, None], (1, 2): {3}, 'f': frozenset({4})}, "
        "True, True)",
    ),
    Case(
        "what the fatal cell did is not there",
        "kept = [1, 2]; gone = 'x'",
        "(kept, gone, 'new' in globals())",
        "([1, 2], 'x', False)",
        fatal=f"kept.append(3); del gone; new = 1\n{DIE}",
    ),
    Case(
        "closures",
        """
def counter(start):
    count = start
    def step():
        nonlocal count
        count += 1
        return count
    return step
step = counter(10); step()
""",
        "(step(), step())",
        "(12, 13)",
        fatal=f"step(); step()\n{DIE}",
    ),
    Case(
        "lambdas, partials, bound methods",
        """
import functools
class C:
    def __init__(self): self.n = 5
    def times(self, m): return self.n * m
c = C(); bound = c.times; part = functools.partial(bound, 3); f = lambda x: part() + x
@functools.lru_cache
def cached(x): return x * 2
cached(4); cached(4)
""",
        "(bound(2), part(), f(1), cached.cache_info().hits, bound.__self__ is c)",
        "(10, 15, 16, 1, True)",
    ),
    Case(
        "classes made in cells",
        """
import dataclasses, enum
@dataclasses.dataclass
class Point:
    x: int
    y: int = 2
class Colour(enum.Enum):
    RED = 1
class Slotted:
    __slots__ = ('a',)
s = Slotted(); s.a = Point(1); colour = Colour.RED
""",
        "(s.a == Point(1), type(s) is Slotted, colour is Colour.RED, Point(3))",
        "(True, True, True, Point(x=3, y=2))",
    ),
    Case(
        "generators",
        """
def numbers():
    n = 0
    while True:
        got = yield n
        n = got if got is not None else n + 1
g = numbers(); next(g); next(g)
ranged = iter(range(5)); next(ranged)
""",
        "(next(g), g.send(10), next(g), list(ranged))",
        "(2, 10, 11, [1, 2, 3, 4])",
        fatal=f"next(g); list(ranged)\n{DIE}",
    ),
    Case(
        "context managers that are open",
        """
import contextlib
log = []
@contextlib.contextmanager
def told():
    log.append('in')
    try: yield 7
    finally: log.append('out')
stack = contextlib.ExitStack(); value = stack.enter_context(told())
""",
        "stack.close(); (value, log)",
        "(7, ['in', 'out'])",
    ),
    Case(
        "weak references and finalizers",
        """
import weakref
class Thing: pass
thing, ended = Thing(), []
ref = weakref.ref(thing); table = weakref.WeakValueDictionary(a=thing)
weakref.finalize(thing, ended.append, 1)
""",
        "before = ref() is thing and table['a'] is thing; del thing; (before, ref(), ended)",
        "(True, None, [1])",
    ),
    Case(
        "context variables",
        "import contextvars; v = contextvars.ContextVar('v', default=0); token = v.set(5)",
        "first = v.get(); v.reset(token); (first, v.get())",
        "(5, 0)",
        fatal=f"v.set(9)\n{DIE}",
    ),
    Case(
        "decimal contexts",
        "import decimal; decimal.getcontext().prec = 4; decimal.getcontext().rounding = 'ROUND_UP'",
        "(decimal.getcontext().prec, decimal.Decimal(1) / 3)",
        "(4, Decimal('0.3334'))",
        fatal=f"decimal.getcontext().prec = 9\n{DIE}",
    ),
    Case(
        "random",
        """
import random
random.seed(5); own = random.Random(6); random.random()
state, own_state = random.getstate(), own.getstate()
""",
        """
twin, own_twin = random.Random(), random.Random()
twin.setstate(state); own_twin.setstate(own_state)
(random.random() == twin.random(), own.random() == own_twin.random())
""",
        "(True, True)",
        fatal=f"random.random(); own.random()\n{DIE}",
    ),
    Case(
        "what cannot be serialized",
        "import sys, types; frame = sys._getframe(); m = types.ModuleType('m'); m.x = 3\n"
        "code = compile('x + 1', 'c', 'eval'); it = map(str, [1, 2])\n"
        "view = memoryview(b'abc')[1:]",
        "(m.x, eval(code, {'x': 1}), list(it), bytes(view), frame.f_code.co_name)",
        "(3, 2, ['1', '2'], b'bc', '<module>')",
    ),
    Case(
        "exceptions with tracebacks",
        "try: 1 / 0\nexcept ZeroDivisionError as e: error = e",
        "(repr(error), error.__traceback__.tb_lineno)",
        "(\"ZeroDivisionError('division by zero')\", 1)",
    ),
    Case(
        "settings of the interpreter",
        """
import gc, locale, os, sys, tempfile, warnings
folder = tempfile.mkdtemp(); os.chdir(folder); os.environ['OWN'] = 'x'; sys.path.insert(0, '/own')
gc.set_threshold(500, 5, 5); sys.setrecursionlimit(1234); old = os.umask(0o027)
warnings.simplefilter('ignore', UserWarning)
""",
        "(os.getcwd() == folder, os.environ['OWN'], sys.path[0], gc.get_threshold(), "
        "sys.getrecursionlimit(), oct(os.umask(old)), warnings.filters[0][:3:2])",
        "(True, 'x', '/own', (500, 5, 5), 1234, '0o27', ('ignore', UserWarning))",
        fatal=f"os.chdir('/'); os.environ['OWN'] = 'y'\n{DIE}",
    ),
    Case(
        "modules that were imported",
        """
import importlib.util, pathlib, sys, tempfile
folder = pathlib.Path(tempfile.mkdtemp()); (folder / 'own_module.py').write_text('x = 1')
sys.path.insert(0, str(folder)); import own_module; own_module.x = 5
""",
        "import own_module as again; (again is own_module, again.x)",
        "(True, 5)",
    ),
    Case(
        "an import that the death cut short",
        """
import pathlib, sys, tempfile
folder = pathlib.Path(tempfile.mkdtemp()); sys.path.insert(0, str(folder))
(folder / 'deadly.py').write_text('import os, signal\\nif os.environ.get("DIE"): '
    'os.kill(os.getpid(), signal.SIGSEGV)\\nx = 3')
""",
        "import deadly; deadly.x",
        "3",
        fatal="import os; os.environ['DIE'] = '1'; import deadly",
    ),
]

IPYTHON = [
    Case(
        "In, Out and the last results",
        "6 * 7\n%%\n'second'",
        "(_, __, _2, _3, In[2], Out[3], sorted(Out), get_ipython().execution_count)",
        "('second', 42, 42, 'second', '6 * 7', 'second', [2, 3], 6)",
    ),
    Case(
        "magics and aliases",
        """
from IPython.core.magic import register_line_magic
@register_line_magic
def shout(line): return line.upper()
%alias greet echo hello %s
%precision 3
%xmode Minimal
""",
        "a = get_ipython().run_line_magic('shout', 'yes')\nb = !echo sub\n"
        "(a, b[0], 'greet' in get_ipython().alias_manager.linemagics "
        "if hasattr(get_ipython().alias_manager, 'linemagics') else "
        "get_ipython().alias_manager.is_alias('greet'), 3.14159)",
        "('YES', 'sub', True, 3.142)",
    ),
    Case(
        "autoreload",
        """
import pathlib, sys, tempfile
folder = pathlib.Path(tempfile.mkdtemp()); (folder / 'changing.py').write_text('x = 1\\n')
sys.path.insert(0, str(folder)); sys.dont_write_bytecode = True
%load_ext autoreload
%autoreload 2
import changing
""",
        "(folder / 'changing.py').write_text('x = 2000\\n')\n"
        "get_ipython().events.trigger('pre_run_cell', None); changing.x",
        "2000",
    ),
    Case(
        "display hooks and formatters",
        """
class Loud:
    pass
formatter = get_ipython().display_formatter.formatters['text/plain']
formatter.for_type(Loud, lambda thing, p, cycle: p.text('LOUD'))
seen = []
get_ipython().events.register('post_run_cell', lambda result: seen.append(result.result))
""",
        "Loud()",
        "LOUD",
    ),
    Case(
        "events of IPython",
        "seen = []\n"
        "get_ipython().events.register('pre_run_cell', lambda info: seen.append(info.raw_cell))\n"
        "%%\n'one'",
        "seen",
        "[\"'one'\", 'seen']",
    ),
    Case(
        "a handle of a display",
        "from IPython.display import display\nhandle = display('first', display_id='d')",
        "handle.update('second'); handle.display_id",
        "'d'",
    ),
    Case(
        "matplotlib inline",
        "%matplotlib inline\nimport matplotlib.pyplot as plt\n"
        "figure, axes = plt.subplots(); line, = axes.plot([1, 2, 3]); plt.close(figure)",
        "(line.get_ydata().tolist(), len(figure.axes), axes is figure.axes[0])",
        "([1, 2, 3], 1, True)",
        fatal=f"axes.plot([3]); figure.canvas.draw()\n{DIE}",
        needs=("matplotlib",),
    ),
]

CASES = [*LANGUAGE, *IPYTHON]
