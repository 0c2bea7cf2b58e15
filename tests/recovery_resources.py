"""Cases of what the system gives to a program: connections, signals, threads, processes."""

from __future__ import annotations

from recovery_cases import DIE, HTTP_SERVER, Case

CONNECTIONS = [
    Case(
        "sockets",
        """
import socket
a, b = socket.socketpair(); a.send(b'x'); a.settimeout(20); b.settimeout(20)
def attempt(f, *args):
    try: return f(*args)
    except OSError as error: return type(error).__name__
""",
        "[attempt(b.recv, 9), attempt(a.send, b'x')]",
        "[b'', 'BrokenPipeError']",
        losses=("2 connections",),
    ),
    Case(
        "a pipe to oneself",
        "import os\nr, w = os.pipe(); os.write(w, b'kept'); os.set_blocking(r, False)",
        "first = os.read(r, 99); os.write(w, b'more'); (first, os.read(r, 99))",
        "(b'kept', b'more')",
        fatal=f"os.read(r, 2); os.write(w, b'lost')\n{DIE}",
    ),
    Case(
        "a pipe to a child",
        "import subprocess\n"
        "p = subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)",
        "got = p.stdout.read()\ntry: p.stdin.write(b'x'); p.stdin.flush(); r = 'written'\n"
        "except BrokenPipeError: r = 'broken'\n"
        "try: p.stdin.close()\nexcept BrokenPipeError: pass\n(got, r)",
        "(b'', 'broken')",
        losses=("2 connections", "1 child process"),
    ),
    Case(
        "http, kept alive",
        "import http.client, http.server, subprocess, sys\n"
        + HTTP_SERVER
        + """port = int(server.stdout.readline())
client = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
def get(path):
    client.request('GET', path); return client.getresponse().read()
first = get('/one'); pid = server.pid
""",
        """
try: second = get('/three')
except OSError as error: second = 'broken'
client.close(); third = get('/four'); client.close()
import os; os.kill(pid, 9)
(first, second, third)
""",
        "(b'/one', 'broken', b'/four')",
        losses=("connection", "which goes on by itself"),
        fatal=f"client.request('GET', '/two')\n{DIE}",
    ),
    Case(
        "a server of sockets",
        "import socket\ns = socket.create_server(('127.0.0.1', 0)); s.settimeout(20)\n"
        "port = s.getsockname()[1]",
        "try: socket.create_connection(('127.0.0.1', port), 20); r = 'connected'\n"
        "except OSError: r = 'refused'\n"
        "try: s.accept(); q = 'accepted'\nexcept OSError: q = 'error'\n(r, q)",
        "('refused', 'error')",
        losses=("1 connection ",),
    ),
    Case(
        "selectors",
        "import selectors, socket\na, b = socket.socketpair(); s = selectors.DefaultSelector()\n"
        "s.register(a, selectors.EVENT_READ, 'a')",
        "[(key.data, bool(events)) for key, events in s.select(20)]",
        "[('a', True)]",
        losses=("2 connections",),
    ),
    Case(
        "eventfd and timerfd",
        "import os\nfd = os.eventfd(5)",
        "os.eventfd_read(fd)",
        "5",
        fatal=f"os.eventfd_read(fd)\n{DIE}",
    ),
]

SIGNALS = [
    Case(
        "handlers and timers",
        """
import signal
rung = []
old = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
signal.setitimer(signal.ITIMER_REAL, 1000.0, 5.0)
signal.signal(signal.SIGUSR1, lambda *_: rung.append('usr1'))
""",
        "left, every = signal.setitimer(signal.ITIMER_REAL, 0); "
        "signal.raise_signal(signal.SIGUSR1); (900 < left <= 1000, every, rung)",
        "(True, 5.0, ['usr1'])",
        fatal=f"signal.setitimer(signal.ITIMER_REAL, 0)\n{DIE}",
    ),
    Case(
        "blocked signals",
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGCONT})",
        "sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())) == "
        "[signal.SIGUSR2, signal.SIGCONT][:: -1 if signal.SIGCONT < signal.SIGUSR2 else 1]",
        "True",
    ),
]

_STARTED = "import threading, queue\nready = threading.Event()\n"

THREADS = [
    Case(
        "a thread that waits",
        f"{_STARTED}gate = threading.Event()\ndef work(): ready.set(); gate.wait()\n"
        "t = threading.Thread(target=work, name='worker-bee', daemon=True)\n"
        "t.start(); ready.wait()",
        "t.join(20); (t.is_alive(), gate.is_set())",
        "(False, False)",
        losses=("worker-bee",),
    ),
    Case(
        "a thread that never rests",
        f"{_STARTED}def work():\n    while True: pass\n"
        "t = threading.Thread(target=work, name='restless', daemon=True); t.start()",
        "'restless' in dir()",
        "False",
        behind="thread 'restless' is running",
    ),
    Case(
        "a timer of threading's",
        f"{_STARTED}t = threading.Timer(1000, ready.set); t.name = 'alarm'; t.start()",
        "t.join(20); t.cancel(); (t.is_alive(), ready.is_set())",
        "(False, False)",
        losses=("alarm",),
    ),
    Case(
        "a queue that a thread waited at",
        f"{_STARTED}q = queue.Queue()\ndef work(): ready.set(); q.get()\n"
        "t = threading.Thread(target=work, name='waiter', daemon=True)\n"
        "t.start(); ready.wait()",
        "q.put('a'); new = []; u = threading.Thread(target=lambda: new.append(q.get()))\n"
        "u.start(); u.join(20); (new, t.is_alive())",
        "(['a'], False)",
        losses=("waiter",),
    ),
    Case(
        "a condition that a thread waited at",
        f"""{_STARTED}c = threading.Condition()
def work():
    with c: ready.set(); c.wait()
t = threading.Thread(target=work, name='waiter', daemon=True); t.start(); ready.wait()
with c: pass
""",
        """
woken = threading.Event(); began = threading.Event()
def again():
    with c: began.set(); c.wait(20); woken.set()
u = threading.Thread(target=again); u.start(); began.wait(20)
with c: c.notify(1)
u.join(20); woken.is_set()
""",
        "True",
        losses=("waiter",),
    ),
    Case(
        "a lock that a thread that is gone held",
        f"{_STARTED}lock = threading.Lock(); gate = threading.Event()\ndef work():\n"
        "    with lock: ready.set(); gate.wait()\n"
        "t = threading.Thread(target=work, name='holder', daemon=True); t.start(); ready.wait()",
        "(lock.locked(), lock.acquire(timeout=0.1))",
        "(True, False)",
        losses=("holder",),
    ),
    Case(
        "an import in a thread",
        f"""{_STARTED}
import pathlib, sys, tempfile
folder = pathlib.Path(tempfile.mkdtemp()); sys.path.insert(0, str(folder)); sys.gate = ready
sys.begun = threading.Event()
(folder / 'slow_module.py').write_text('import sys; sys.begun.set(); sys.gate.wait(); x = 3')
t = threading.Thread(target=__import__, args=('slow_module',), name='importer', daemon=True)
t.start(); sys.begun.wait()
""",
        "sys.gate.set(); import slow_module; slow_module.x",
        "3",
        losses=("importer",),
    ),
    Case(
        "thread-local values",
        "import threading; local = threading.local(); local.x = 3",
        "local.x",
        "3",
        fatal=f"local.x = 4\n{DIE}",
    ),
    Case(
        "ThreadPoolExecutor",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "pool = ThreadPoolExecutor(2); first = list(pool.map(abs, [-1, -2]))",
        "second = [f.result(20) for f in [pool.submit(abs, -3), pool.submit(abs, -4)]]; "
        "pool.shutdown(); (first, second)",
        "([1, 2], [3, 4])",
    ),
    Case(
        "a future that a thread was at",
        "from concurrent.futures import ThreadPoolExecutor\nimport threading\n"
        "gate, begun = threading.Event(), threading.Event()\n"
        "pool = ThreadPoolExecutor(1); f = pool.submit(lambda: (begun.set(), gate.wait()))\n"
        "waiting = pool.submit(abs, -5); begun.wait()",
        "import concurrent.futures as cf\n"
        "try: r = f.result(20)\nexcept (cf.CancelledError, cf.BrokenExecutor, RuntimeError) as e: "
        "r = type(e).__name__\n"
        "(r, pool.submit(abs, -3).result(20), waiting.result(20))",
        "('BrokenThreadPool', 3, 5)",
        losses=("1 task of a thread pool",),
    ),
    Case(
        "ThreadPool of multiprocessing",
        "from multiprocessing.pool import ThreadPool\nfrom multiprocessing import TimeoutError\n"
        "pool = ThreadPool(2); first = pool.map(abs, [-1])",
        "try: r = pool.apply_async(abs, (-3,)).get(20)\nexcept ValueError as e: r = 'error'\n"
        "with ThreadPool(1) as new: s = new.map(abs, [-4])\n(first, r, s)",
        "([1], 'error', [4])",
        losses=("1 thread pool",),
    ),
    Case(
        "logging by a QueueListener",
        """
import logging, logging.handlers, queue
class Kept(logging.Handler):
    texts = []
    def emit(self, record): self.texts.append(record.getMessage())
q = queue.Queue(); listener = logging.handlers.QueueListener(q, Kept()); listener.start()
log = logging.getLogger('own'); log.propagate = False
log.addHandler(logging.handlers.QueueHandler(q)); log.warning('one'); q.join()
""",
        "log.warning('two'); listener.stop(); Kept.texts",
        "['one', 'two']",
    ),
    Case(
        "the lock of a logger",
        f"""{_STARTED}
import logging
gate = threading.Event()
class Slow(logging.Handler):
    def emit(self, record): ready.set(); gate.wait()
log = logging.getLogger('own'); log.propagate = False; slow = Slow(); log.addHandler(slow)
t = threading.Thread(target=log.warning, args=('x',), name='logs', daemon=True); t.start()
ready.wait()
""",
        "gate.set(); u = threading.Thread(target=log.warning, args=('y',)); u.start(); u.join(20); "
        "u.is_alive()",
        "False",
        losses=("logs",),
    ),
    Case(
        "tqdm",
        "from tqdm import tqdm\nimport sys\nbar = tqdm(total=3, file=sys.stdout); bar.update()",
        "bar.update(); n = bar.n; bar.close(); n",
        "2",
        needs=("tqdm",),
    ),
]

PROCESSES = [
    Case(
        "Popen",
        "import subprocess; p = subprocess.Popen(['sleep', '1000']); "
        "done = subprocess.Popen(['false']); done.wait()",
        "(p.poll(), p.wait(20), p.returncode, done.returncode)",
        "(-9, -9, -9, 1)",
        losses=("1 child process",),
    ),
    Case(
        "Popen, already ended",
        "import os, subprocess\np = subprocess.Popen(['sh', '-c', 'exit 3'])\n"
        "os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOWAIT)\nNone",
        "p.wait(20)",
        "3",
    ),
    Case(
        "a child in a session of its own",
        "import os, subprocess\np = subprocess.Popen(['sleep', '1000'], start_new_session=True)",
        """
before = p.poll(); os.kill(p.pid, 15)
try: after = p.wait(20)
except ChildProcessError: after = 'nobody knows'
(before, after, after == 0)
""",
        "(None, 'nobody knows', False)",
        losses=("which goes on by itself",),
    ),
    Case(
        "new children",
        "import subprocess; subprocess.run(['true']).returncode",
        "(subprocess.run(['sh', '-c', 'exit 3']).returncode, "
        "subprocess.run(['echo', 'x'], capture_output=True).stdout)",
        "(3, b'x\\n')",
    ),
    Case(
        "os.fork and os.wait",
        "import os\npid = os.fork()\nif pid == 0: os._exit(3)\nos.waitpid(pid, 0)[1] >> 8",
        "pid = os.fork()\nif pid == 0: os._exit(4)\nended, status = os.wait()\n"
        "(ended == pid, status >> 8)",
        "(True, 4)",
    ),
    Case(
        "ProcessPoolExecutor",
        "from concurrent.futures import ProcessPoolExecutor\n"
        "pool = ProcessPoolExecutor(1); first = pool.submit(abs, -1).result(20)",
        "try: r = pool.submit(abs, -2).result(20)\nexcept Exception as e: r = type(e).__name__\n"
        "with ProcessPoolExecutor(1) as new: s = new.submit(abs, -3).result(20)\n(first, r, s)",
        "(1, 'BrokenProcessPool', 3)",
        losses=("1 process pool",),
    ),
    Case(
        "multiprocessing Pool",
        "import multiprocessing as mp\npool = mp.get_context('fork').Pool(1); "
        "first = pool.map(abs, [-1])",
        "try: r = pool.apply(abs, (-2,))\nexcept ValueError as e: r = 'error'\n"
        "with mp.get_context('fork').Pool(1) as new: s = new.map(abs, [-3])\n(first, r, s)",
        "([1], 'error', [3])",
        losses=("1 process pool",),
    ),
    Case(
        "multiprocessing Process",
        "import multiprocessing as mp, time\nctx = mp.get_context('fork')\n"
        "p = ctx.Process(target=time.sleep, args=(1000,)); p.start()\n"
        "done = ctx.Process(target=time.sleep, args=(0,)); done.start(); done.join()",
        "p.join(20); new = ctx.Process(target=time.sleep, args=(0,)); new.start(); new.join(20)\n"
        "(p.is_alive(), p.exitcode, done.exitcode, new.exitcode)",
        "(False, -9, 0, 0)",
        losses=("1 child process",),
    ),
    Case(
        "multiprocessing, spawned",
        "import multiprocessing as mp, time\nctx = mp.get_context('spawn')\n"
        "p = ctx.Process(target=time.sleep, args=(1000,)); p.start()",
        "p.join(20); new = ctx.Process(target=time.sleep, args=(0,)); new.start(); new.join(20)\n"
        "(p.is_alive(), p.exitcode, new.exitcode)",
        "(False, -9, 0)",
        losses=("1 child process",),
    ),
    Case(
        "multiprocessing Manager",
        "import multiprocessing as mp\nm = mp.get_context('fork').Manager(); d = m.dict(a=1)",
        "try: r = d['a']\nexcept (OSError, EOFError) as e: r = 'error'\n"
        "n = mp.get_context('fork').Manager(); e = n.dict(b=2); s = e['b']; n.shutdown(); (r, s)",
        "('error', 2)",
        losses=("child process",),
    ),
    Case(
        "multiprocessing Queue",
        "import multiprocessing as mp\nctx = mp.get_context('fork')\n"
        "q = ctx.Queue(); q.put('a'); q.get(); q.put('kept')\n"
        "bounded = ctx.Queue(1); bounded.put(1); bounded.get()",
        "q.put('b'); bounded.put(2)\n"
        "(q.get(timeout=20), q.get(timeout=20), bounded.get(timeout=20))",
        "('kept', 'b', 2)",
        fatal=f"q.get(); bounded.put(3)\n{DIE}",
    ),
    Case(
        "multiprocessing Queue with a child",
        """
import multiprocessing as mp, queue
ctx = mp.get_context('fork'); to, back = ctx.Queue(), ctx.Queue()
def work():
    while True: back.put(to.get() + 1)
p = ctx.Process(target=work); p.start(); to.put(1); first = back.get(timeout=20)
""",
        "try: r = back.get(timeout=20)\nexcept (OSError, EOFError) as e: r = 'error'\n(first, r)",
        "(2, 'error')",
        losses=("connections", "1 child process"),
    ),
    Case(
        "multiprocessing locks",
        """
import multiprocessing as mp
ctx = mp.get_context('fork'); lock, free = ctx.Lock(), ctx.Lock(); lock.acquire()
value = ctx.Value('i', 5); array = ctx.Array('i', [1, 2])
""",
        "lock.release(); (lock.acquire(timeout=1), free.acquire(timeout=1), value.value, array[:])",
        "(True, True, 6, [1, 2])",
        losses=("Shared memory",),
        fatal=f"free.acquire(); value.value = 6\n{DIE}",
    ),
    Case(
        "multiprocessing shared memory",
        "from multiprocessing import shared_memory\n"
        "m = shared_memory.SharedMemory(create=True, size=100); m.buf[0] = 5",
        "r = m.buf[0]; m.close(); m.unlink(); r",
        "6",
        losses=("Shared memory",),
        fatal=f"m.buf[0] = 6\n{DIE}",
    ),
]

RESOURCES = [*CONNECTIONS, *SIGNALS, *THREADS, *PROCESSES]
