"""Whose output is it? Threads, pools, tasks and callbacks know the request that caused them."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial

import pytest
from bulkhead_kernel.shared.records import Kind, Record
from bulkhead_kernel.worker.context import NOBODY, Current, Request


@pytest.fixture
def current(monkeypatch):
    """A worker's ``Current``, which threads and pools follow until the test is over."""
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", ThreadPoolExecutor.submit)
    current = Current()
    current.begin(NOBODY)
    current.follow_threads()
    return current


def begin(current, number):
    """Begin a request as the loop does, and forget it here."""
    current.begin(Request(number, "execute_request"))


def number(current):
    return current.get().number


def in_thread(function):
    """Call a function in a thread of its own and wait for it."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


class TestTheMainThread:
    def test_belongs_to_the_newest_request(self, current):
        """G4: what a cell does by itself is the cell's."""
        assert current.get() is NOBODY
        for at in (1, 2):
            begin(current, at)
            assert number(current) == at

    def test_can_belong_to_another_one_for_a_while(self, current):
        """G4: what is done on behalf of an earlier cell is that cell's, and then it is over."""
        begin(current, 1)
        first = current.get()
        begin(current, 2)
        token = current.enter(first)
        assert number(current) == 1
        current.leave(token)
        assert number(current) == 2


class TestThreads:
    def test_belong_to_the_cell_that_started_them(self, current):
        """G4: a thread's output is its cell's, whatever cell runs by then."""
        found, go = [], threading.Event()

        def work():
            go.wait()
            found.append(number(current))

        begin(current, 1)
        thread = threading.Thread(target=work)
        thread.start()
        begin(current, 2)
        go.set()
        thread.join()
        assert found == [1]
        assert number(current) == 2

    def test_belong_to_who_starts_them_and_not_to_who_makes_them(self, current):
        """G4: a thread that is made in one cell and started in the next is the next one's."""
        found = []
        begin(current, 1)
        thread = threading.Thread(target=lambda: found.append(number(current)))
        begin(current, 2)
        thread.start()
        thread.join()
        assert found == [2]

    def test_pass_it_on_to_threads_of_their_own(self, current):
        """G4: a thread's thread is the same cell's."""
        found, go = [], threading.Event()

        def work():
            go.wait()
            in_thread(lambda: found.append(number(current)))

        begin(current, 1)
        thread = threading.Thread(target=work)
        thread.start()
        begin(current, 2)
        go.set()
        thread.join()
        assert found == [1]

    def test_that_are_subclasses_or_timers_are_threads(self, current):
        """G4: it does not matter which class of thread it is."""
        found = []

        class Mine(threading.Thread):
            def run(self):
                found.append(number(current))

        begin(current, 1)
        timer = threading.Timer(0, lambda: found.append(number(current)))
        for thread in (Mine(), timer):
            thread.start()
            thread.join()
        assert found == [1, 1]

    def test_that_python_did_not_start_belong_to_the_newest_cell(self, current):
        """G4: of a thread of C code nobody knows better."""
        import _thread  # noqa: PLC0415 - the only way to a thread that ``threading`` does not know

        found, done = [], threading.Event()

        def work():
            found.append(number(current))
            done.set()

        begin(current, 1)
        _thread.start_new_thread(work, ())
        done.wait()
        assert found == [1]

    def test_that_were_there_before_belong_to_the_newest_cell(self, monkeypatch):
        """G4: a thread that started before anybody followed threads is of no cell."""
        monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)
        monkeypatch.setattr(ThreadPoolExecutor, "submit", ThreadPoolExecutor.submit)
        current, found, go = Current(), [], threading.Event()

        def work():
            go.wait()
            found.append(number(current))

        thread = threading.Thread(target=work)
        thread.start()
        current.follow_threads()
        begin(current, 1)
        go.set()
        thread.join()
        assert found == [1]


class TestThreadPools:
    def test_work_for_the_cell_that_submits(self, current):
        """G4: a pool is older than the work that it is given; the work knows whose it is."""
        with ThreadPoolExecutor(1) as pool:
            begin(current, 1)
            first = pool.submit(number, current)
            assert first.result() == 1
            begin(current, 2)
            assert pool.submit(number, current).result() == 2
            assert list(pool.map(lambda _: number(current), range(2))) == [2, 2]

    def test_keep_what_waits_in_them_apart(self, current):
        """G4: work that waits for a free thread stays its own cell's."""
        go = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(go.wait)
            begin(current, 1)
            first = pool.submit(number, current)
            begin(current, 2)
            second = pool.submit(number, current)
            go.set()
            assert (first.result(), second.result()) == (1, 2)

    def test_forget_whose_it_was_when_the_work_has_failed(self, current):
        """G4: an error in one cell's work leaves the pool's thread as it was."""
        with ThreadPoolExecutor(1) as pool:
            begin(current, 1)
            failed = pool.submit(int, "x")
            with pytest.raises(ValueError, match="invalid literal"):
                failed.result()
            begin(current, 2)
            assert pool.submit(number, current).result() == 2

    def test_pass_all_arguments_on(self, current):
        """What a pool is asked to call is called as it was asked, keywords of any name included."""
        with ThreadPoolExecutor(1) as pool:
            called = pool.submit(lambda *args, **kwargs: (args, kwargs), 1, fn=2, pool=3, self=4)
        assert called.result() == ((1,), {"fn": 2, "pool": 3, "self": 4})

    def test_of_asyncio_work_for_the_task_that_asks(self, current):
        """G4: run_in_executor and to_thread keep the cell."""

        async def ask():
            loop = asyncio.get_running_loop()
            return (
                await loop.run_in_executor(None, number, current),
                await asyncio.to_thread(number, current),
            )

        async def main():
            begin(current, 1)
            task = asyncio.create_task(ask())
            begin(current, 2)
            return await task

        assert asyncio.run(main()) == (1, 1)


class TestTasks:
    def test_belong_to_the_cell_that_made_them(self, current):
        """G4: a task goes on between cells and while others run, and keeps its own."""

        async def work(event):
            before = number(current)
            await event.wait()
            return before, number(current)

        async def main():
            event = asyncio.Event()
            begin(current, 1)
            task = asyncio.create_task(work(event))
            await asyncio.sleep(0)
            begin(current, 2)
            event.set()
            return await task

        assert asyncio.run(main()) == (1, 1)

    def test_pass_it_on_to_callbacks_and_threads(self, current):
        """G4: call_soon, call_later and a thread that a task starts are the task's cell's."""
        found = []

        def note():
            found.append(number(current))

        async def work():
            loop = asyncio.get_running_loop()
            loop.call_soon(note)
            loop.call_at(loop.time(), note)
            in_thread(note)

        async def main():
            begin(current, 1)
            task = asyncio.create_task(work())
            begin(current, 2)
            await task
            await asyncio.sleep(0)  # the loop calls what is due once

        asyncio.run(main())
        assert found == [1, 1, 1]

    def test_in_a_context_of_their_own_keep_it(self, current):
        """G4: a copied context carries the cell along."""
        begin(current, 1)
        context = contextvars.copy_context()
        begin(current, 2)
        assert context.run(number, current) == 1


@contextmanager
def a_task(_):
    with closing(asyncio.new_event_loop()) as loop:
        task = loop.create_task(asyncio.sleep(0))
        try:
            yield
        finally:
            loop.run_until_complete(task)


@contextmanager
def a_timer(_):
    with closing(asyncio.new_event_loop()) as loop:
        timer = loop.call_later(60, print)
        yield
        timer.cancel()


@contextmanager
def a_thread(_):
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    try:
        yield
    finally:
        go.set()
        thread.join()


@contextmanager
def a_pool(_):
    go = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(go.wait)
        try:
            yield
        finally:
            go.set()


@contextmanager
def a_context(_):
    context = contextvars.copy_context()
    yield
    del context


@contextmanager
def a_message(current):
    message = current.get().message()
    yield
    del message


HOLDERS = [a_task, a_timer, a_thread, a_pool, a_context, a_message]


class TestForgottenNumbers:
    def test_are_those_that_nothing_can_name(self, current):
        """G4: a header is kept as long as something may still print under it."""
        for at in (1, 2, 3):
            begin(current, at)
        gc.collect()
        assert sorted(current.forgotten) == [1, 2]

    @pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: holder.__name__)
    def test_are_not_those_that_something_still_holds(self, current, holder):
        """G4: a task, a thread, a pool's work or a library that keeps the message hold it."""
        begin(current, 1)
        with holder(current):
            begin(current, 2)
            gc.collect()
            assert current.forgotten == []
        gc.collect()
        assert current.forgotten == [1]


class TestARequest:
    def test_is_what_a_record_carries(self):
        """The parts of a REQUEST are read when somebody asks for them."""
        parts = [
            b"comm_msg", b'{"msg_id": "m"}', b'{"comm_id": "c", "x": NaN}', b'{"a": 1}', b"\0\1",
        ]  # fmt: skip
        request = Request.from_record(Record(Kind.REQUEST, 7, (0, 0), parts))
        assert repr(request) == "<Request 7: comm_msg>"
        message = request.message()
        assert message["content"]["comm_id"] == "c"
        assert {name: message[name] for name in message if name != "content"} == {
            "header": {"msg_id": "m"},
            "msg_id": "m",
            "msg_type": "comm_msg",
            "parent_header": {},
            "metadata": {"a": 1},
            "buffers": [b"\0\1"],
        }

    @pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b'{"a":'])
    def test_without_an_object_as_content_says_so(self, content):
        """G9: content that cannot be read is a ValueError when it is read, and answered so."""
        request = Request(1, "execute_request", b"{}", content, b"{}")
        with pytest.raises(ValueError):
            _ = request.content

    def test_of_nobody_is_empty(self):
        """What start-up files do belongs to number 0, which has no header."""
        assert (NOBODY.number, NOBODY.header, NOBODY.content) == (0, {}, {})


def test_partial_functions_and_bound_methods_are_functions(current):
    """G4: a pool is given all sorts of things to call."""
    begin(current, 1)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(partial(number, current)).result() == 1
        assert pool.submit(current.get).result().number == 1
