"""Cases of asyncio, and of loops that are not the kernel's."""

from __future__ import annotations

from recovery_cases import DIE, Case

ASYNCIO = [
    Case(
        "top-level await",
        "import asyncio\nasync def answer(): await asyncio.sleep(0.001); return 42\n"
        "first = await answer()",
        "(first, await answer(), await asyncio.gather(answer(), answer()))",
        "(42, 42, [42, 42])",
    ),
    Case(
        "a task in the background",
        """
import asyncio
ticks, more = [], asyncio.Event()
async def tick():
    while True:
        await more.wait(); more.clear(); ticks.append(len(ticks))
task = asyncio.create_task(tick()); more.set(); await asyncio.sleep(0.01)
""",
        "before = list(ticks); more.set(); await asyncio.sleep(0.01); "
        "known = task in asyncio.all_tasks(); (before, ticks, task.done(), known, task.cancel())",
        "([0], [0, 1], False, True, True)",
        fatal=f"more.set(); await asyncio.sleep(0.01)\n{DIE}",
    ),
    Case(
        "a timer of the loop",
        "import asyncio\nloop = asyncio.get_running_loop(); rung = asyncio.Event()\n"
        "handle = loop.call_later(0.3, rung.set)",
        "await asyncio.wait_for(rung.wait(), 20); rung.is_set()",
        "True",
    ),
    Case(
        "queues, locks and futures",
        """
import asyncio
q, lock, future = asyncio.Queue(), asyncio.Lock(), asyncio.get_running_loop().create_future()
await q.put('a'); await lock.acquire()
async def work():
    async with lock: return await q.get(), await future
worker = asyncio.create_task(work())
""",
        "lock.release(); future.set_result('b'); await asyncio.wait_for(worker, 20)",
        "('a', 'b')",
    ),
    Case(
        "to_thread",
        "import asyncio\nfirst = await asyncio.to_thread(lambda: 5)",
        "(first, await asyncio.wait_for(asyncio.to_thread(lambda: 6), 20))",
        "(5, 6)",
    ),
    Case(
        "a server of asyncio",
        """
import asyncio
async def serve(reader, writer):
    writer.write(await reader.readline()); await writer.drain(); writer.close()
server = await asyncio.start_server(serve, '127.0.0.1', 0)
port = server.sockets[0].getsockname()[1]
async def ask():
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    writer.write(b'hello\\n'); answer = await reader.readline(); writer.close(); return answer
answer = await ask()
""",
        "try: r = await asyncio.wait_for(ask(), 20)\nexcept OSError: r = 'refused'\n(answer, r)",
        "(b'hello\\n', 'refused')",
        losses=("connection",),
    ),
    Case(
        "a child of asyncio's",
        "import asyncio\nchild = await asyncio.create_subprocess_exec('sleep', '1000')",
        "(await asyncio.wait_for(child.wait(), 20) != 0)",
        "True",
        losses=("child process",),
    ),
    Case(
        "children of asyncio's, new ones",
        "import asyncio\nchild = await asyncio.create_subprocess_exec('true'); "
        "code = await child.wait()",
        "child = await asyncio.create_subprocess_exec('sh', '-c', 'exit 3')\n"
        "(code, await asyncio.wait_for(child.wait(), 20))",
        "(0, 3)",
    ),
    Case(
        "another loop",
        "import asyncio\nother = asyncio.new_event_loop()\nasync def f(): return 3\n"
        "import threading\nresults = []\n"
        "def run(): results.append(other.run_until_complete(f()))\n"
        "t = threading.Thread(target=run); t.start(); t.join()",
        "t = threading.Thread(target=run); t.start(); t.join(20); (results, t.is_alive())",
        "([3, 3], False)",
    ),
    Case(
        "a loop in a thread",
        """
import asyncio, threading
other = asyncio.new_event_loop()
thread = threading.Thread(target=other.run_forever, name='loop', daemon=True); thread.start()
async def f(): return 3
first = asyncio.run_coroutine_threadsafe(f(), other).result(20)
""",
        """
thread = threading.Thread(target=other.run_forever, daemon=True); thread.start()
(first, asyncio.run_coroutine_threadsafe(f(), other).result(20))
""",
        "(3, 3)",
        losses=("loop",),
    ),
    Case(
        "uvloop",
        """
import asyncio, threading, uvloop
async def f(): await asyncio.sleep(0.01); return 3
results = []
def run(): results.append(uvloop.run(f()))
t = threading.Thread(target=run); t.start(); t.join()
""",
        "t = threading.Thread(target=run); t.start(); t.join(20); (results, t.is_alive())",
        "([3, 3], False)",
        needs=("uvloop",),
    ),
]
