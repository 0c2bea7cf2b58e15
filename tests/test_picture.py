"""The picture of a recording: well-formed whatever it shows, and made for light and dark."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from bulkhead_kernel.shared.samples import Sample
from bulkhead_kernel.worker.picture import html, text
from bulkhead_kernel.worker.recording import Recording, record
from hypothesis import given, settings
from test_recording import cost, recordings

TITLE = "This kernel, last 15 minutes"
SVG = "{http://www.w3.org/2000/svg}"
WORDS = re.compile(r"nan|inf(?!o)|e[+-]\d", re.IGNORECASE)


def parsed(recording, title=TITLE):
    return ET.fromstring(html(recording, title))


def words(recording):
    return [element.text for element in parsed(recording).iter("text")]


class TestAnyRecording:
    @settings(max_examples=50)
    @given(recordings)
    def test_is_well_formed_and_full_of_numbers(self, recording):
        """Issue, 3: HTML with an inline SVG that every frontend can show."""
        root = parsed(recording)
        if not recording.memory:
            assert root.text == "Nothing has run yet."
            return
        assert root.tag == "svg"
        for element in root.iter():
            for name, value in element.items():
                assert name in ("aria-label", "style", "font-family") or not WORDS.search(value)
            if "width" in element.keys():  # noqa: SIM118 - an Element is no dict
                assert float(element.get("width")) > 0
                assert float(element.get("height")) >= 0

    @given(recordings)
    def test_stays_within_its_frame(self, recording):
        """Issue, 3: every point lies in the picture."""
        root = parsed(recording)
        if not recording.memory:
            return
        _, _, width, height = map(float, root.get("viewBox").split())
        for line in [*root.iter("polyline"), *root.iter("polygon")]:
            for point in line.get("points").split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= width
                assert 0 <= y <= height

    @given(recordings)
    def test_has_a_text_beside_it(self, recording):
        """Issue, 3: plain text for terminals, with as many blocks as there are."""
        told = text(recording, TITLE)
        if not recording.memory:
            assert told == "Nothing has run yet."
            return
        title, memory, processor = told.split("\n")
        assert title == TITLE
        for line in (memory, processor):
            assert len(re.findall("[▁▂▃▄▅▆▇█]", line)) == 40

    def test_of_no_memory_at_all(self):
        """Where the system tells nothing (no /proc), the text is there all the same."""
        recording = Recording(((1.0, 0.0), (2.0, 0.0)), (), (), (), 0)
        assert "▁" * 40 in text(recording, TITLE)
        assert parsed(recording).tag == "svg"


class TestWhatIsDrawn:
    def test_peak_limit_and_cells(self):
        """Issue, 3: cells marked, peak and limit drawn."""
        done = [cost(1, 10, 5, memory=0, peak=900 << 20), cost(2, 15, 5, memory=0, peak=0)]
        shown = words(record([], done, 1 << 30, 0))
        assert {"900 MiB", "peak", "1.0 GiB", "limit", "[1]", "[2]"} <= set(shown)

    def test_a_limit_that_is_far_does_not_flatten_the_curve(self):
        """Issue, 3: it is named, and the axis reaches up to the peak."""
        shown = words(record([], [cost(1, 10, 5, peak=100 << 20)], 64 << 30, 0))
        assert "limit 64.0 GiB" in shown

    def test_a_death(self):
        """Issue, 3: what led to a death can be seen."""
        seen = [Sample(1, 5, 0, 1, 1), Sample(2, 9, 0, 1, 1), Sample(5, 3, 0, 2, 2)]
        assert "died" in words(record(seen, [], 0, 0))

    def test_a_title_is_no_markup(self):
        """A title may say < and &."""
        recording = record([], [cost(1, 10, 5)], 0, 0)
        assert parsed(recording, 'a < b & "c"').get("aria-label") == 'a < b & "c"'

    def test_colours_are_the_frontend_s(self):
        """Issue, 3: looks right in light and dark: text has the colour of what surrounds it."""
        root = parsed(record([], [cost(1, 10, 5)], 0, 0))
        assert root.get("fill") == "currentColor"
        assert "white" not in html(record([], [cost(1, 10, 5)], 0, 0), TITLE)
