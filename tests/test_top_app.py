"""The live view of ``bulkhead top``, driven by keys; its kernels are scripted."""

import asyncio

import pytest
from bulkhead_kernel.kernelspec import top_view
from bulkhead_kernel.kernelspec.top_app import Top
from bulkhead_kernel.kernelspec.top_kernel import Kernel
from bulkhead_kernel.kernelspec.top_kernels import NO_SERVER, Look
from textual.widgets import DataTable

MIB = 1 << 20
NEVER = 3600.0
WIDE = (160, 20)


def kernel(name, **fields):
    fields = {"server": "http://127.0.0.1:8888/"} | fields
    return Kernel(
        id=name,
        kernel_name="python3",
        connection_file=f"/run/{name}",
        bulkhead=False,
        pid=1,
        **fields,
    )


A = kernel("a", cpu_percent=3.0, memory=10 * MIB, uptime=30.0)
B = kernel("b", cpu_percent=2.0, memory=30 * MIB, uptime=10.0)
C = kernel("c", cpu_percent=1.0, memory=20 * MIB, uptime=20.0, server=None)


class Scripted:
    """Kernels that are what a test says, and note what is done to them."""

    def __init__(self, *kernels):
        self.now = kernels
        self.looks = 0
        self.looked = asyncio.Event()
        self.done = []

    async def look(self):
        self.looks += 1
        self.looked.set()
        return Look(self.now, 0)

    async def interrupt(self, kernel):
        self.done.append(("interrupt", kernel.id))
        return "Interrupted."

    async def restart(self, kernel):
        self.done.append(("restart", kernel.id))
        return "Restarted."


class Person:
    """Who sits before the view: presses keys and sees."""

    def __init__(self, app, pilot, kernels):
        self.app = app
        self.pilot = pilot
        self.kernels = kernels

    async def press(self, *keys):
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def waits_for_look(self, number):
        while self.kernels.looks < number:
            self.kernels.looked.clear()
            await self.kernels.looked.wait()
        await self.pilot.pause()

    def rows(self):
        table = self.app.screen_stack[0].query_one(DataTable)
        rows = [[text.plain for text in table.get_row_at(at)] for at in range(table.row_count)]
        return [row[0] for row in rows]

    def headings(self):
        table = self.app.screen_stack[0].query_one(DataTable)
        return [column.label.plain for column in table.ordered_columns]

    def selected(self):
        return self.rows()[self.app.screen_stack[0].query_one(DataTable).cursor_row]

    def reads(self, where):
        return str(self.app.screen.query_one(f"#{where}").render())


@pytest.fixture
def play():
    """Run a scene: a coroutine that is given a person before a view of some kernels."""

    def run(scene, *kernels, interval=NEVER, size=WIDE):
        scripted = Scripted(*kernels)

        async def main():
            app = Top(scripted, interval)
            async with app.run_test(size=size) as pilot:
                person = Person(app, pilot, scripted)
                await person.waits_for_look(1)
                await scene(person)

        asyncio.run(main())
        return scripted

    return run


class TestSorting:
    def test_by_keys(self, play):
        """c, m, n and u sort; r turns the order; the heading tells which it is."""

        async def scene(person):
            assert person.rows() == ["a", "b", "c"]
            assert "CPU▼" in person.headings()
            for key, rows, heading in (
                ("m", ["b", "c", "a"], "Memory▼"),
                ("r", ["a", "c", "b"], "Memory▲"),
                ("n", ["a", "b", "c"], "Name▼"),
                ("u", ["a", "c", "b"], "Uptime▼"),
                ("c", ["a", "b", "c"], "CPU▼"),
            ):
                await person.press(key)
                assert person.rows() == rows
                assert heading in person.headings()

        play(scene, A, B, C)

    def test_the_selection_stays_with_its_kernel(self, play):
        """Sorting moves the rows, not the choice."""

        async def scene(person):
            await person.press("down", "down")
            assert person.selected() == "c"
            for key in "mrnuc":
                await person.press(key)
                assert person.selected() == "c"

        play(scene, A, B, C)

    def test_a_kernel_that_is_gone_for_a_while(self, play):
        """The choice returns with a kernel that restarts; meanwhile it is what the eye sees."""

        async def scene(person):
            await person.press("n", "down")
            assert person.selected() == "b"
            for now, selected in (((A, C), "c"), ((A, B, C), "b"), ((), None)):
                person.kernels.now = now
                await person.waits_for_look(person.kernels.looks + 2)
                while selected is not None and person.selected() != selected:
                    await person.waits_for_look(person.kernels.looks + 1)  # or for ever

        play(scene, A, B, C, interval=0.05)


class TestDoing:
    def test_interrupt(self, play):
        """i interrupts the selected kernel, tells what became of it, and looks again."""

        async def scene(person):
            await person.press("down", "i")
            await person.waits_for_look(2)
            assert person.reads("status") == "b: Interrupted."

        assert play(scene, A, B, C).done == [("interrupt", "b")]

    @pytest.mark.parametrize("answer", ["y", "n", "escape"])
    def test_restart_asks_first(self, play, answer):
        """R restarts the selected kernel if the answer is y."""

        async def scene(person):
            await person.press("down", "R")
            question = "Restart b? Its variables will be gone. [y/n]"
            assert person.reads("question") == question
            person.app._show()  # a look while the question is open
            await person.press(answer)
            if answer == "y":
                await person.waits_for_look(2)
            told = "b: Restarted." if answer == "y" else "Not restarted."
            assert person.reads("status") == told

        assert play(scene, A, B, C).done == ([("restart", "b")] if answer == "y" else [])

    def test_a_kernel_without_a_server(self, play):
        """Nothing is asked where nothing can be done; the status says why."""

        async def scene(person):
            await person.press("n", "down", "down", "R")
            assert person.reads("status") == f"c: {NO_SERVER}"

        assert play(scene, A, B, C).done == []

    def test_without_kernels(self, play):
        """With nothing to see, keys do nothing, and a sentence says so."""

        async def scene(person):
            assert person.reads("nobody") == top_view.NOBODY
            assert person.app.screen.query_one("#nobody").display
            await person.press("i", "R", "m", "r", "down")
            assert person.rows() == []

        assert play(scene).done == []

    def test_quit(self, play):
        """q ends the view."""

        async def scene(person):
            await person.press("q")

        play(scene, A)


class TestShowing:
    def test_each_interval(self, play):
        """Memory draws its line; the details are those of the selected kernel."""

        async def scene(person):
            person.kernels.now = (kernel("a", memory=20 * MIB),)
            await person.waits_for_look(person.kernels.looks + 2)
            table = person.app.query_one(DataTable)
            row = [text.plain for text in table.get_row_at(0)]
            line = row[person.headings().index("Lately")]
            assert line.lstrip()[0] == "▅"
            assert line[-1] == "█"
            assert person.reads("details").startswith("python3 kernel a, pid 1")
            assert person.reads("summary") == "1 kernel, 20 MiB of memory together"

        play(scene, A, interval=0.1)

    def test_a_narrow_terminal(self, play):
        """Columns that do not fit are left out, and come back with the room."""

        async def scene(person):
            assert person.headings() == ["Name", "State", "Cell", "CPU▼", "Memory", "Uptime"]
            await person.pilot.resize_terminal(160, 20)
            await person.pilot.pause()
            assert person.headings()[-1] == "Pid"

        play(scene, A, B, size=(48, 20))
