"""The framing of the Debug Adapter Protocol: any cut of a stream gives the same messages."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from bulkhead_kernel.supervisor.dap import Decoder, FramingError, encode
from hypothesis import given
from hypothesis import strategies as st

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
messages = st.lists(st.dictionaries(st.text(max_size=6), values, max_size=4), max_size=5)


class TestDecoder:
    @given(messages, st.data())
    def test_messages_come_out_as_they_went_in_however_they_are_cut(self, sent, data):
        """In any pieces, empty ones too; nothing is held back once it is whole."""
        stream = b"".join(map(encode, sent))
        cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
        places = [0, *sorted(cuts), len(stream)]
        decoder = Decoder()
        got = []
        for start, end in pairwise(places):
            got += decoder.feed(stream[start:end])
        assert got == sent

    def test_byte_by_byte(self):
        """The last byte completes a message, and no earlier one does."""
        frame = encode({"type": "event", "text": "ä\n\r\n\r\n"})
        decoder = Decoder()
        assert [decoder.feed(frame[at : at + 1]) for at in range(len(frame) - 1)] == (
            [[]] * (len(frame) - 1)
        )
        assert decoder.feed(frame[-1:]) == [{"type": "event", "text": "ä\n\r\n\r\n"}]

    def test_other_headers_are_passed_over(self):
        """In any order, in any case."""
        body = json.dumps({"a": 1}).encode()
        frame = b"Content-Type: x\r\ncontent-LENGTH:%d\r\n\r\n%s" % (len(body), body)
        assert Decoder().feed(frame) == [{"a": 1}]

    @given(st.binary(max_size=200))
    def test_any_bytes_are_messages_or_a_framing_error(self, data):
        """G26: and never another exception."""
        decoder = Decoder()
        try:
            for message in decoder.feed(data) + decoder.feed(data):
                assert isinstance(message, dict)
        except FramingError:
            pass

    @pytest.mark.parametrize(
        "data",
        [
            b"x" * 5000,
            b"Content-Length: -1\r\n\r\n",
            b"Content-Length: 9999999999\r\n\r\n",
            b"Content-Type: 3\r\n\r\n{}",
            b"Content-Length: 2\r\n\r\n[]",
            b"Content-Length: 2\r\n\r\n{x",
            b"Content-Length: 1\r\n\r\n\xff",
            b"Content-Length: 60000\r\n\r\n" + b"[" * 60000,
        ],
        ids=["no end", "negative", "huge", "no length", "no object", "no JSON", "no UTF-8", "deep"],
    )
    def test_what_is_no_message_is_refused(self, data):
        """The connection is given up then: nobody knows where the next message begins."""
        with pytest.raises(FramingError):
            Decoder().feed(data)
