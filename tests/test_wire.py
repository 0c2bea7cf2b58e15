"""Jupyter's messages as frames: what is signed is taken once, the rest is refused by name."""

from __future__ import annotations

import hashlib
import hmac
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from bulkhead_kernel.supervisor import wire
from bulkhead_kernel.supervisor.errors import MalformedMessageError
from bulkhead_kernel.supervisor.wire import DELIMITER, SCHEMES, Builder, Message, Signer, parse
from hypothesis import given
from hypothesis import strategies as st

OPEN = Signer(b"")
KEYS = st.binary(max_size=40)
JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
OBJECTS = st.dictionaries(st.text(), JSONS, max_size=2)
BUFFERS = st.lists(st.binary(max_size=20), max_size=3)
IDENTITIES = st.lists(st.binary(max_size=20).filter(lambda one: one != DELIMITER), max_size=3)
HEADER = b'{"msg_id": "m-1", "msg_type": "execute_request"}'


def frames(
    header=HEADER, parent=b"{}", metadata=b"{}", content=b"{}", *, signer=OPEN, before=(), after=()
):
    parts = [header, parent, metadata, content]
    return [*before, DELIMITER, signer.sign(parts), *parts, *after]


def refusal(given_frames, signer=OPEN):
    """Give the words with which frames are refused."""
    with pytest.raises(MalformedMessageError) as caught:
        parse(given_frames, signer)
    return str(caught.value)


class TestWhatAClientSent:
    @given(IDENTITIES, OBJECTS, OBJECTS, OBJECTS, OBJECTS, BUFFERS)
    def test_is_kept_to_the_byte(self, before, extra, parent, metadata, content, after):
        """G24: a header goes back as it came, with the fields that we do not know."""
        header, parent, metadata, content = (
            json.dumps(value, indent=1).encode()
            for value in (
                extra | {"msg_id": "m-1", "msg_type": "any"}, parent, metadata, content
            )
        )  # fmt: skip
        message = parse(frames(header, parent, metadata, content, before=before, after=after), OPEN)
        assert message == Message(
            tuple(before), header, parent, metadata, content, tuple(after), "m-1", "any"
        )

    def test_goes_back_as_parent_header_to_the_letter(self):
        """G24: spaces, order, unknown fields and escapes of the client's header are untouched."""
        header = b'{ "msg_type":"x","username":"\\u00fc", "msg_id" : "1" , "later_version":[1.0]}'
        message = parse(frames(header), OPEN)
        built = Builder(OPEN, "s").build([], "status", message.header, b"{}")
        assert built[3] is header

    def test_may_have_the_delimiter_among_its_buffers(self):
        """The first delimiter counts: what stands behind the five parts is the user's."""
        assert parse(frames(after=[DELIMITER, b"x"]), OPEN).buffers == (DELIMITER, b"x")

    @given(OBJECTS)
    def test_has_its_content_read_when_somebody_asks(self, content):
        """G9: content is for whoever answers; reading it gives what the client meant."""
        raw = json.dumps(content).encode()
        assert parse(frames(content=raw), OPEN).parsed_content() == content

    @pytest.mark.parametrize(
        ("parent", "msg_id"),
        [
            (b"{}", ""),
            (b'{"msg_id": "asked"}', "asked"),
            (b'{"msg_id": null}', ""),
            (b'{"msg_id": {"a": 1}}', ""),
            (b'{"session": "s"}', ""),
        ],
    )
    def test_names_what_it_answers(self, parent, msg_id):
        """G30: an input_reply says to which prompt it belongs, if it says anything usable."""
        assert parse(frames(parent=parent), OPEN).parent() == msg_id


class TestSignatures:
    @given(st.sampled_from(SCHEMES), KEYS, OBJECTS, OBJECTS)
    def test_of_every_scheme_and_key_are_taken(self, scheme, key, parent, content):
        """What was signed with the key of the connection file is taken, and an empty key too."""
        sender, receiver = Signer(key, scheme), Signer(key, scheme)
        raw = json.dumps(content).encode()
        sent = frames(parent=json.dumps(parent).encode(), content=raw, signer=sender)
        assert parse(sent, receiver).content == raw

    @pytest.mark.parametrize(
        ("scheme", "digest"),
        [
            ("hmac-sha256", hashlib.sha256),
            ("hmac-sha512", hashlib.sha512),
            ("hmac-md5", hashlib.md5),
        ],
    )
    def test_are_what_the_protocol_says(self, scheme, digest):
        """A signature is the hex HMAC of the four dicts, in order."""
        parts = [HEADER, b"{}", b"{}", b'{"code": ""}']
        expected = hmac.new(b"key", b"".join(parts), digest).hexdigest().encode()
        assert Signer(b"key", scheme).sign(parts) == expected

    def test_are_empty_without_a_key(self):
        """An empty key turns signing off: nothing is signed and any signature is taken."""
        assert OPEN.sign([b"x"]) == b""
        sent = frames()
        sent[1] = b"whatever"
        assert parse(sent, OPEN).msg_id == "m-1"
        assert parse(sent, OPEN).msg_id == "m-1"

    @given(st.binary(max_size=80))
    def test_that_are_wrong_are_refused(self, signature):
        """Whatever stands in its place, only the right signature is taken."""
        signer = Signer(b"key")
        sent = frames(signer=signer)
        if signature == sent[1]:
            return
        sent[1] = signature
        assert refusal(sent, signer) == "its signature is missing or wrong"

    @given(st.integers(min_value=2, max_value=5), st.data())
    def test_cover_every_part(self, at, data):
        """One changed byte in header, parent, metadata or content is noticed."""
        signer = Signer(b"key")
        sent = frames(HEADER, b'{"a": 1}', b'{"b": 2}', b'{"c": 3}', signer=signer)
        part = bytearray(sent[at])
        place = data.draw(st.integers(min_value=0, max_value=len(part) - 1))
        part[place] ^= data.draw(st.integers(min_value=1, max_value=255))
        sent[at] = bytes(part)
        assert refusal(sent, signer) == "its signature is missing or wrong"

    def test_of_another_key_or_scheme_are_refused(self):
        """Only who knows the key may speak."""
        for other in (Signer(b"other"), Signer(b"key", "hmac-sha512"), OPEN):
            assert "signature" in refusal(frames(signer=other), Signer(b"key"))

    def test_are_good_once(self):
        """A message that was recorded and sent again is not carried out again."""
        signer = Signer(b"key")
        sent = frames(signer=signer)
        assert parse(sent, signer).msg_id == "m-1"
        assert refusal(sent, signer) == "its signature was seen before (a replay)"
        assert refusal(frames(signer=signer, after=[b"x"]), signer).endswith("(a replay)")

    def test_are_remembered_up_to_a_bound(self, monkeypatch):
        """The memory of what was seen does not grow for ever; the oldest is forgotten first."""
        monkeypatch.setattr(wire, "HISTORY", 3)
        signer = Signer(b"key")
        sent = [
            frames(b'{"msg_id": "%d", "msg_type": "x"}' % number, signer=signer)
            for number in range(5)
        ]
        for message in sent:
            parse(message, signer)
        assert len(signer._seen) == 3
        for message in sent[2:]:
            assert refusal(message, signer).endswith("(a replay)")
        assert parse(sent[0], signer).msg_id == "0"

    def test_that_are_wrong_are_not_remembered(self):
        """Who does not know the key cannot fill the memory, nor spoil a message that is to come."""
        signer = Signer(b"key")
        sent = frames(signer=signer)
        refusal([*sent[:5], b"changed"], signer)
        assert parse(sent, signer).msg_id == "m-1"

    @pytest.mark.parametrize("scheme", ["", "sha256", "hmac-sha1", "hmac-"])
    def test_of_an_unknown_scheme_are_never_made(self, scheme):
        """A scheme that is not offered is refused when the kernel starts, by name."""
        with pytest.raises(ValueError, match="use one of hmac-sha256, hmac-sha512, hmac-md5"):
            Signer(b"key", scheme)


class TestWhatIsNoMessage:
    @given(st.lists(st.binary(max_size=30) | st.just(DELIMITER), max_size=9))
    def test_is_refused_and_never_a_surprise(self, given_frames):
        """G26: any list of frames is a Message or a MalformedMessageError, and nothing else."""
        for signer in (OPEN, Signer(b"key")):
            with suppress(MalformedMessageError):
                parse(given_frames, signer)

    @given(st.data())
    def test_is_refused_also_where_one_part_is_odd(self, data):
        """G26: the same with four parts of which each may be anything that looks like JSON."""
        odd = st.binary(max_size=30) | JSONS.map(json.dumps).map(str.encode)
        parts = [data.draw(odd) for _ in range(4)]
        try:
            message = parse(frames(*parts), OPEN)
        except MalformedMessageError:
            return
        assert isinstance(message.parent(), str)

    @pytest.mark.parametrize("count", range(5))
    def test_ends_too_early(self, count):
        """Which part is missing cannot be told, but how many are there can."""
        assert refusal(frames()[: count + 1]) == f"it ends after {count} of five parts"

    @pytest.mark.parametrize("given_frames", [[], [b""], frames()[1:]])
    def test_has_no_delimiter(self, given_frames):
        """Without the delimiter nobody knows where the identities end."""
        assert refusal(given_frames) == "it has no <IDS|MSG> delimiter"

    @pytest.mark.parametrize("name", ["header", "parent", "metadata"])
    @pytest.mark.parametrize(
        ("raw", "words"),
        [
            (b"", "no JSON in UTF-8"),
            (b"{", "no JSON in UTF-8"),
            (b"{'a': 1}", "no JSON in UTF-8"),
            (b'{"a": "\xff"}', "no JSON in UTF-8"),
            ('{"msg_id": "1", "msg_type": "x"}'.encode("utf-16"), "no JSON in UTF-8"),
            ('{"msg_id": "1", "msg_type": "x"}'.encode("utf-32-le"), "no JSON in UTF-8"),
            (b"[" * 100_000, "no JSON in UTF-8"),
            (b'{"a": %s}' % (b"1" * 5_000), "no JSON in UTF-8"),
            (b"[]", "JSON but no object"),
            (b"null", "JSON but no object"),
            (b'"msg_id"', "JSON but no object"),
        ],
    )  # fmt: skip
    def test_has_a_part_that_is_no_dict(self, name, raw, words):
        """G9: a request whose header cannot be read cannot be answered; the log names the part."""
        told = refusal(frames(**{name: raw}))
        assert told.startswith("its " + name)
        assert words in told

    @pytest.mark.parametrize(
        "header",
        [
            {},
            {"msg_id": "1"},
            {"msg_type": "x"},
            {"msg_id": {}, "msg_type": "x"},
            {"msg_id": "1", "msg_type": {"name": "x"}},
            {"msg_id": 1, "msg_type": "x"},
            {"msg_id": "1", "msg_type": None},
            {"msg_id": ["1"], "msg_type": "x"},
        ],
    )
    def test_has_a_header_that_does_not_say_what_it_is(self, header):
        """Fields of the wrong type are as good as missing ones."""
        told = refusal(frames(json.dumps(header).encode()))
        assert told == "its header lacks msg_id or msg_type, or they are no strings"

    @pytest.mark.parametrize(
        ("raw", "words"),
        [(b"[]", "its content is JSON but no object"), (b"\xff", "its content is no JSON in")],
    )
    def test_has_content_that_only_its_reader_refuses(self, raw, words):
        """G9: content is no reason to drop a request: busy, an error reply and idle can be sent."""
        message = parse(frames(content=raw), OPEN)
        with pytest.raises(MalformedMessageError, match=words):
            message.parsed_content()


class TestWhatIsBuilt:
    @given(st.sampled_from(SCHEMES), KEYS, st.text(), OBJECTS, OBJECTS, BUFFERS)
    def test_can_be_parsed(self, scheme, key, msg_type, parent, content, buffers):
        """A client with the same key reads what was meant."""
        parent_header, raw = json.dumps(parent).encode(), json.dumps(content).encode()
        built = Builder(Signer(key, scheme), "session").build(
            [b"topic"], msg_type, parent_header, raw, buffers=buffers
        )
        message = parse(built, Signer(key, scheme))
        assert message == Message(
            (b"topic",), message.header, parent_header, b"{}", raw, tuple(buffers),
            "session_1", msg_type, session="session", date=json.loads(message.header)["date"],
        )  # fmt: skip

    def test_has_the_header_that_the_protocol_asks_for(self):
        """G24: one session for the life of the supervisor; the date has a time zone."""
        before = datetime.now(UTC)
        builder = Builder(OPEN, "abc", 'O"Neill\n')
        header = json.loads(builder.build([], "status", b"{}", b"{}")[2])
        date = datetime.fromisoformat(header.pop("date"))
        assert header == {
            "msg_id": "abc_1",
            "msg_type": "status",
            "session": "abc",
            "username": 'O"Neill\n',
            "version": wire.PROTOCOL_VERSION,
        }
        assert before <= date <= datetime.now(UTC)
        assert date.utcoffset() == timedelta(0)

    def test_has_an_id_of_its_own(self):
        """No two messages have one msg_id, also those whose id was asked for beforehand."""
        builder = Builder(OPEN, "s")
        ids = [builder.new_id()]
        for msg_id in ("", ids[0], ""):
            built = builder.build([], "x", b"{}", b"{}", msg_id=msg_id)
            ids.append(json.loads(built[2])["msg_id"])
        assert ids == ["s_1", "s_2", "s_1", "s_3"]

    def test_is_json_without_needless_spaces(self):
        """Content of our own making is short, and ASCII however odd the text is."""
        assert wire.dumps({"a": [1, "\ud800ü"]}) == b'{"a":[1,"\\ud800\\u00fc"]}'


class TestTexts:
    @given(st.lists(st.text(), max_size=3), st.sampled_from(["stdout", "stderr"]))
    def test_a_text_is_what_it_was(self, texts, name):
        """G5: short and long, before and after it is worth to be fast."""
        encoder = wire.Texts()
        long = "".join(texts) + "\x00ü" * (1 << 13)
        for text in [*texts, long, "x" * wire.MUCH, long, long + "\ud800", *texts]:
            content = encoder.encode(name, text)
            assert json.loads(content) == {"name": name, "text": text}
        assert encoder._fast is not None

    def test_a_date_is_iso_8601_in_utc(self):
        """What clients read of a header, and Shell of theirs."""
        builder = wire.Builder(wire.Signer(b""), "session")
        before = datetime.now(UTC)
        dates = [json.loads(builder.build([], "status", b"{}", b"{}")[2])["date"] for _ in range(3)]
        after = datetime.now(UTC)
        assert [len(date) for date in dates] == [len("2026-01-01T00:00:00.000000+00:00")] * 3
        first, *_, last = (datetime.fromisoformat(date) for date in dates)
        assert before - timedelta(microseconds=1) <= first <= last <= after
