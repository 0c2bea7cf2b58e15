"""The benchmarks: what they compute and say of figures, and one real trial of the floor."""

from __future__ import annotations

import json
import sys
from xml.etree import ElementTree as ET

import pytest

from benchmarks import plot, report, stats, table, units
from benchmarks.arguments import parse
from benchmarks.kernels import UnknownKernelError, named
from benchmarks.messages import Incoming, Packer
from benchmarks.results import Cell, Results
from benchmarks.rows import GROUPS, MEASURES, ROWS, Measure, Row
from benchmarks.rows.throughput import Output, compare
from benchmarks.run import Runner
from benchmarks.schedule import schedule
from benchmarks.targets import OURS, TARGETS, Target, judge


def results(**cells):
    """Make results of three kernels: ``results(key=([1], [2], [3]))``."""
    made = Results({"date": "2026-01-02"}, ["ipykernel", "xpython", OURS])
    for key, samples in cells.items():
        for kernel, numbers in zip(made.kernels, samples, strict=True):
            made.cell(key, kernel).samples.extend(numbers)
    return made


class TestStatistics:
    def test_the_median_of_nothing_is_nothing(self):
        """A row that always failed has no figure."""
        assert stats.median([]) is None
        assert stats.median([3.0, 1.0, 2.0]) == 2.0

    def test_the_spread_is_half_of_the_middle_half(self):
        """One trial that another process disturbed does not widen the spread."""
        assert stats.spread([1.0, 2.0, 3.0, 4.0, 100.0]) == 1.0

    def test_two_samples_have_no_spread(self):
        """Of two samples nobody knows which one is usual."""
        assert stats.spread([1.0, 2.0]) is None

    def test_the_ratio_is_of_the_medians(self):
        """Ratios are of medians, and there is none to nothing or to zero."""
        assert stats.ratio([1.0, 2.0, 9.0], [4.0]) == 0.5
        assert stats.ratio([], [4.0]) is None
        assert stats.ratio([1.0], []) is None
        assert stats.ratio([1.0], [0.0]) is None


class TestUnits:
    @pytest.mark.parametrize(
        ("value", "unit", "text"),
        [
            (1.5, "s", "1.50 s"),
            (0.0123, "s", "12.3 ms"),
            (0.000456, "s", "456 µs"),
            (0.0, "s", "0 µs"),
            (45 * 2**20, "B", "45.0 MiB"),
            (1.5e9, "B/s", "1.50 GB/s"),
            (12_345.0, "displays/s", "12,300 displays/s"),
            (0.0, "wake-ups/s", "0 wake-ups/s"),
        ],
    )
    def test_a_figure_has_three_digits_and_a_unit_that_suits(self, value, unit, text):
        """A reader gets three digits, whatever the size."""
        assert units.figure(value, unit) == text

    def test_the_spread_is_in_the_unit_of_its_figure(self):
        """Microseconds are not compared with milliseconds by eye."""
        assert units.spread_figure(0.0123, 0.0001, "s") == "12.3 ± 0.10 ms"


class TestSchedule:
    def test_kernels_take_turns_and_each_is_first(self):
        """Trials of one row follow each other, and the order moves on with row and round."""
        trials = schedule([("a", 9), ("b", 9)], ["x", "y"], 2)
        assert [f"{number}{row}{kernel}" for number, row, kernel in trials] == (
            ["0ax", "0ay", "0by", "0bx", "1ay", "1ax", "1bx", "1by"]
        )

    def test_a_row_that_takes_long_is_run_less_often(self):
        """A row has a most of rounds."""
        trials = list(schedule([("a", 1), ("b", 2)], ["x"], 3))
        assert trials == [(0, "a", "x"), (0, "b", "x"), (1, "b", "x")]


class TestResults:
    def test_figures_survive_json(self):
        """What is rendered from a file is what was measured."""
        made = results(prints=([1.0, 2.0], [], [3.0]))
        made.cell("prints", "xpython").troubles.append("lines lost")
        assert Results.from_json(json.loads(json.dumps(made.to_json()))) == made

    def test_to_read_a_cell_makes_none(self):
        """A table does not change what it shows."""
        made = results()
        assert made.find("prints", OURS) == Cell()
        assert made.cells == {}


class TestTable:
    def test_a_cell_has_median_spread_and_ratio(self):
        """The reference has no ratio to itself."""
        reference, ours = Cell([2.0, 2.0, 2.0]), Cell([1.0, 1.1, 1.2])
        assert table.cell(ours, reference, "s") == "1.10 ± 0.05 s, 0.55x"
        assert table.cell(reference, reference, "s") == "2.00 ± 0 s"

    def test_a_cell_tells_what_went_wrong(self):
        """A failure stands where the figure would, or next to it, and how often it was."""
        reference = Cell([1.0])
        assert table.cell(Cell([], ["lost idle", "lost idle"]), reference, "s") == (
            "lost idle (2 times)"
        )
        assert (
            table.cell(Cell([5.0], ["lines lost"]), reference, "s") == "5.00 s, 5.00x, lines lost"
        )
        assert table.cell(Cell(), reference, "s") == "-"

    def test_a_line_for_each_measure_and_one_for_each_group(self):
        """What was not measured has no line."""
        rows = [
            Row("a", "Start", lambda _: {}, (Measure("a", "the a", "s"), Measure("z", "", "s"))),
            Row("b", "Lives", lambda _: {}, (Measure("b", "the b", "B"),)),
        ]
        made = results(a=([1.0], [2.0], [0.5]), b=([1024.0], [], [1024.0]))
        assert table.figures(made, rows).splitlines() == [
            "|  | ipykernel | xpython | bulkhead |",
            "| --- | ---: | ---: | ---: |",
            "| **Start** |  |  |  |",
            "| the a | 1.00 s | 2.00 s, 2.00x | 500 ms, 0.5x |",
            "| **Lives** |  |  |  |",
            "| the b | 1.00 KiB | - | 1.00 KiB, 1.00x |",
        ]

    def test_a_block_is_put_between_its_marks(self):
        """A page keeps what people wrote around the tables; one without marks is left alone."""
        page = "one\n<!-- x -->old<!-- end of x -->\ntwo"
        assert table.splice(page, "x", "new") == (
            "one\n<!-- x -->\n\nnew\n\n<!-- end of x -->\ntwo"
        )
        assert table.splice(page, "y", "new") == page


class TestReport:
    def made(self):
        made = results(crash=([1.0], [], [0.2]), burst=([1.0], [], [2.0]))
        machine = {"cores": 2, "processor": "Z80", "memory": 2**30, "system": "Linux"}
        versions = {"bulkhead": "bulkhead-kernel 1.0"}
        made.about |= {"machine": machine, "versions": versions, "rounds": 5, "quick": False}
        made.about["loads"] = [0.5, 2.25]
        return made

    def test_the_conditions_are_told(self):
        """Date, machine, load and versions: without them figures mean nothing."""
        assert report.conditions(self.made()) == (
            "Measured on 2026-01-02: 2 cores (Z80), 1 GiB, Linux; 5 rounds; load average 0.5 to"
            " 2.2. bulkhead: bulkhead-kernel 1.0."
        )

    def test_figures_of_a_busy_machine_are_marked(self):
        """Nobody takes figures for a kernel's that are another program's."""
        made = self.made()
        made.about["loads"] = [5.0, 4.5, 0.1]
        assert "busy with other programs" in report.conditions(made)

    def test_a_page_with_marks_gets_what_it_has_marks_for(self, tmp_path):
        """README quotes some rows; a new page has everything."""
        figures, marked, new = (tmp_path / name for name in ("r.json", "marked.md", "new.md"))
        figures.write_text(json.dumps(self.made().to_json()))
        marked.write_text("a\n<!-- headlines --><!-- end of headlines -->\nb\n")
        report.render(parse(["render", str(figures), "--markdown", str(marked), str(new)]))
        head, *lines, tail = marked.read_text().splitlines()
        assert (head, tail) == ("a", "b")
        assert [line for line in lines if "pass" in line or "pointer" in line] == [
            "| null pointer in a cell: to the next cell's reply | 1.00 s | - | 200 ms, 0.2x |"
        ]
        assert "1,000 `pass` sent at once" in new.read_text()


class TestTargets:
    def test_a_ratio_is_compared_with_its_bound(self):
        """A bound itself is within; some targets are met from above."""
        made = results(a=([2.0], [1.0], [1.0]))
        targets = (
            Target("a", 0.5, "ipykernel"),
            Target("a", 0.9, "xpython"),
            Target("a", 1.0, "xpython", at_least=True),
            Target("a", 0.9),
        )
        assert [(verdict.found, verdict.met) for verdict in judge(made, targets)] == [
            (0.5, True), (1.0, False), (1.0, True), (1.0, False),
        ]  # fmt: skip

    def test_what_was_measured_in_vain_is_missed(self):
        """A failure is not passed over."""
        made = results(a=([2.0], [], []))
        verdicts = list(judge(made, (Target("a", 0.5, "ipykernel"), Target("a", 0.5))))
        assert [(verdict.found, verdict.met) for verdict in verdicts] == [(None, False)] * 2

    def test_a_row_that_was_not_run_has_no_verdict(self):
        """A run of some rows, or without a peer, is judged by what it can tell."""
        made = Results({}, [OURS])
        made.cell("a", OURS).samples.append(1.0)
        assert not list(judge(made, (Target("b", 1.0), Target("a", 1.0, "xpython"))))

    def test_the_table_of_targets(self):
        """It says what was wanted, what was found, and whether that is enough."""
        made = results(a=([2.0], [1.0], [1.0]))
        targets = table.verdicts(made, {**MEASURES, "crash": MEASURES["crash"]})
        assert targets.splitlines() == ["|  | target | found |  |", "| --- | ---: | ---: | --- |"]
        made = results(crash=([1.0], [1.0], [0.2]), displays=([1.0], [1.0], [5.0]))
        assert table.verdicts(made, MEASURES).splitlines()[2:] == [
            "| 5,000 `display(i)` | ≥ 4.00x ipykernel | 5.00x | met |",
            "| null pointer in a cell: to the next cell's reply | ≤ 100 ms | 200 ms | **missed** |",
        ]


class TestNames:
    def test_names_are_used_once_and_known(self):
        """Targets and the plot speak of measures that exist, and no two share a name."""
        keys = [measure.key for row in ROWS for measure in row.measures]
        assert len(set(keys)) == len(keys)
        assert len({row.name for row in ROWS}) == len(ROWS)
        assert {row.group for row in ROWS} == set(GROUPS)
        assert {target.measure for target in TARGETS} <= set(keys)
        assert set(plot.KEYS) <= set(keys)
        assert set(report.HEADLINES) <= set(keys)

    def test_a_kernel_is_a_name_a_python_or_a_spec(self, tmp_path):
        """Two versions of a kernel can be compared by their interpreters or their kernelspecs."""
        assert named("bulkhead").environment == "bulkhead"
        ours = named("bulkhead=/opt/bin/python")
        assert (ours.environment, ours.python) == ("", "/opt/bin/python")
        assert ours.command(tmp_path / "c.json")[0] == "/opt/bin/python"
        spec = {"argv": ["/x", "{connection_file}"], "interrupt_mode": "message"}
        (tmp_path / "kernel.json").write_text(json.dumps(spec))
        mine = named(f"mine={tmp_path}/kernel.json")
        assert (mine.name, mine.interrupt) == ("mine", "message")
        assert mine.command(tmp_path / "c.json") == ["/x", str(tmp_path / "c.json")]

    def test_an_unknown_name_is_an_error_that_tells_the_known_ones(self):
        """A typo is told at once, not after an hour of measuring."""
        with pytest.raises(
            UnknownKernelError, match="no kernel 'ipykrenel' is known: use bulkhead"
        ):
            named("ipykrenel")

    def test_the_command_line(self):
        """The first kernel is the reference, and that is ipykernel unless one says otherwise."""
        options = parse(["run", "--quick"])
        assert options.kernels[0] == "ipykernel"
        assert options.quick


class TestOutput:
    def output(self, *streams):
        made = Output()
        made.streams = list(streams)
        return made

    def test_lines_are_put_together_over_messages(self):
        """Where a kernel cuts its messages makes no difference."""
        made = self.output(("stdout", "1\n2"), ("stderr", "a\n"), ("stdout", "3\n"))
        assert made.lines() == [("stdout", "1"), ("stderr", "a"), ("stdout", "23")]

    @pytest.mark.parametrize(
        ("text", "remarks"),
        [
            ("1\n2\n", []),
            ("1\n", ["lines lost"]),
            ("2\n1\n", ["another order"]),
            ("1\n3\n", ["wrong text"]),
        ],
    )
    def test_what_is_not_as_printed_is_told(self, text, remarks):
        """Lost lines are a remark, and so is another order."""
        found = []
        compare(self.output(("stdout", text)), [("stdout", "1"), ("stdout", "2")], found)
        assert found == remarks


class TestPlot:
    def test_less_is_better_for_rates_as_well(self):
        """A kernel with four times the displays stands at a quarter."""
        made = results(displays=([10.0], [5.0], [40.0]))
        (line,) = plot.lines(made, MEASURES)
        assert line.points == [("xpython", 2.0), (OURS, 0.25)]
        assert line.figure == "40.0 displays/s"

    def test_the_plot_is_xml(self):
        """Titles are escaped, and a run of one row has a plot, too."""
        svg = plot.draw(results(crash=([1.0], [], [0.1])), MEASURES)
        root = ET.fromstring(svg)
        marks = root.findall(".//{*}circle[{*}title]")
        assert [mark[0].text for mark in marks] == ["bulkhead: 0.10"]


class TestReal:
    def test_a_message_is_read_as_it_was_packed(self):
        """Buffers stand behind the content, and identities in front."""
        msg_id, frames = Packer(b"key", "s").pack("kind", {"n": 1}, b'{"msg_id":"p"}', [b"buffer"])
        found = Incoming([b"who", *frames])
        assert (found.msg_id, found.msg_type, found.parent_id) == (msg_id, "kind", "p")
        assert (found.identities, found.content, found.buffers) == ([b"who"], {"n": 1}, [b"buffer"])

    @pytest.mark.parametrize(
        ("msg_type", "content", "is_status"),
        [
            ("status", {"execution_state": "idle"}, True),
            ("stream", {"name": "stdout", "text": '"execution_state"'}, False),
            ("display_data", {"execution_state": "idle"}, False),
        ],
    )
    def test_only_a_status_is_taken_for_one(self, msg_type, content, is_status):
        """Whatever a cell prints or shows: it is not looked at closely."""
        _, frames = Packer(b"key", "s").pack(msg_type, content)
        assert Incoming(frames).is_status is is_status

    def test_the_floor_is_measured(self, tmp_path):
        """The client, the floor and the runner work together, and nothing is left running."""
        made = Results({}, ["floor"])
        rows = [row for row in ROWS if row.name in ("start", "pass", "restart", "crash")]
        Runner(made, tmp_path, quick=True).all(rows, [named(f"floor={sys.executable}")], 1)
        assert sorted(made.cells) == [
            "cpu.pass",
            "restart",
            "start.first",
            "start.info",
            "trip.pass",
        ]
        assert all(cells["floor"].samples[0] > 0 for cells in made.cells.values())
        assert not any(cells["floor"].troubles for cells in made.cells.values())
        assert not list((tmp_path / "floor").glob("kernel-*.json"))
