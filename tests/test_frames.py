"""Frames: the same payloads come out wherever the stream was cut; foreign bytes are told."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from bulkhead_kernel.shared.frames import LIMIT, MAGIC, Decoder, FrameError, encode
from hypothesis import example, given
from hypothesis import strategies as st

HEAD = 12
MAGIC_WORD = struct.pack("<I", MAGIC)
payload_lists = st.lists(st.binary(max_size=60), max_size=8)


def stream_of(payloads):
    return b"".join(b"".join(encode([payload])) for payload in payloads)


def cut(stream, places):
    """Cut a stream at some places, each taken modulo its length."""
    ends = sorted({place % (len(stream) + 1) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(ends)]


def listen(chunks, decoder=None):
    """Feed chunks until the end or the first error; give what was decoded, and the error."""
    decoder = decoder or Decoder()
    payloads = []
    try:
        for chunk in chunks:
            payloads += decoder.feed(chunk)
    except FrameError as error:
        return payloads, error
    return payloads, None


class TestWhatIsWrittenIsRead:
    @given(payload_lists)
    def test_in_one_piece(self, payloads):
        """G1: frames that come together are decoded in the order in which they were written."""
        assert listen([stream_of(payloads)]) == (payloads, None)

    @given(payload_lists)
    def test_byte_by_byte(self, payloads):
        """G1: it is the same if each byte comes alone."""
        stream = stream_of(payloads)
        assert listen(stream[at : at + 1] for at in range(len(stream))) == (payloads, None)

    @given(payload_lists, st.lists(st.integers(min_value=0), max_size=12))
    def test_in_any_chunks(self, payloads, places):
        """G1: it is the same wherever the stream was cut."""
        assert listen(cut(stream_of(payloads), places)) == (payloads, None)

    @given(payload_lists, st.binary(max_size=40), st.lists(st.integers(min_value=0), max_size=8))
    def test_with_the_beginning_of_another_frame_behind_it(self, payloads, rest, places):
        """G20: a frame that is not whole yet is kept back, and what stands before it is given."""
        torn = stream_of([rest])[:-1]
        decoder = Decoder()
        assert listen(cut(stream_of(payloads) + torn, places), decoder) == (payloads, None)
        assert decoder.pending == len(torn)
        assert listen([stream_of([rest])[-1:]], decoder) == ([rest], None)
        assert decoder.pending == 0

    @given(st.lists(st.binary(max_size=20), max_size=6))
    def test_the_parts_of_one_payload_become_one(self, parts):
        """``encode`` copies nothing: it puts a head before the parts of one payload."""
        pieces = encode(parts)
        assert pieces[1:] == parts
        assert listen([b"".join(pieces)]) == ([b"".join(parts)], None)

    @given(st.binary(max_size=50))
    def test_any_buffer_can_be_fed(self, payload):
        """Bytes, a bytearray and a memoryview are the same to the decoder."""
        stream = stream_of([payload])
        decoder = Decoder()
        chunks = [stream, bytearray(stream), memoryview(stream)]
        assert listen(chunks, decoder) == ([payload] * 3, None)

    def test_a_payload_is_a_copy(self):
        """What was decoded does not change when the caller reuses the buffer that it read into."""
        buffer = bytearray(stream_of([b"kept"]))
        payloads, _ = listen([buffer])
        buffer[:] = bytes(len(buffer))
        assert payloads == [b"kept"]


class TestADeathInTheMiddle:
    def test_every_length_of_a_torn_frame_is_dropped(self):
        """G20: die after k bytes, for every k: whole frames are decoded, and nothing else."""
        whole, last = [b"first", b"", b"second"], b"the writer dies while it writes this"
        before = stream_of(whole)
        stream = before + stream_of([last])
        for k in range(len(before), len(stream)):
            decoder = Decoder()
            assert listen([stream[:k]], decoder) == (whole, None)
            assert decoder.pending == k - len(before)

    def test_the_next_writer_has_a_decoder_of_its_own(self):
        """G20: what was torn is thrown away with its decoder and touches no later frame."""
        _, error = listen([stream_of([b"torn"])[:-1]])
        assert error is None
        assert listen([stream_of([b"whole"])]) == ([b"whole"], None)


class TestForeignBytes:
    @given(st.binary(max_size=200), st.lists(st.integers(min_value=0), max_size=6))
    @example(struct.pack("<IQ", MAGIC, 3) + b"abc", [])
    def test_give_payloads_or_a_frame_error_and_nothing_else(self, noise, places):
        """G26: no bytes make the decoder raise anything but FrameError."""
        payloads, error = listen(cut(noise, places))
        assert stream_of(payloads) == noise[: len(stream_of(payloads))]
        assert error is None or isinstance(error, FrameError)

    @given(st.binary(min_size=HEAD, max_size=60).filter(lambda noise: noise[:4] != MAGIC_WORD))
    def test_are_told_as_soon_as_a_head_could_be_read(self, noise):
        """G26: twelve bytes are enough to know that no frame begins here."""
        with pytest.raises(FrameError, match="no frame begins with"):
            list(Decoder().feed(noise))

    @given(payload_lists, st.lists(st.integers(min_value=0), max_size=8))
    def test_take_nothing_of_what_stands_before_them(self, payloads, places):
        """G18: whole frames before a foreign byte are decoded, however the stream was cut."""
        stream = stream_of(payloads) + b"this is no frame at all"
        decoded, error = listen(cut(stream, places))
        assert decoded == payloads
        assert isinstance(error, FrameError)

    @pytest.mark.parametrize("length", [LIMIT + 1, 1 << 40, (1 << 64) - 1])
    def test_a_length_that_nobody_sends_is_refused_at_once(self, length):
        """G26: a head that announces more than the limit is not waited for."""
        with pytest.raises(FrameError):
            list(Decoder().feed(struct.pack("<IQ", MAGIC, length)))

    def test_a_length_at_the_limit_is_waited_for_without_taking_memory(self):
        """G26: memory is taken by bytes that came, not by bytes that were announced."""
        decoder = Decoder()
        assert listen([struct.pack("<IQ", MAGIC, LIMIT)], decoder) == ([], None)
        assert repr(decoder) == "<Decoder with 12 bytes pending>"
