"""Encryption with CurveZMQ: who has the key is served as ever, who has not gets nothing."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from pathlib import Path

import pytest
import zmq
from bulkhead_kernel.kernelspec import top_files
from bulkhead_kernel.kernelspec.top_control import Control
from bulkhead_kernel.supervisor import connection as connections
from bulkhead_kernel.supervisor import curve
from bulkhead_kernel.supervisor.errors import ConnectionFileError
from frontend import CHANNELS, DEADLINE, UnexpectedError, kernel
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.manager import KernelManager, start_new_kernel
from zmq.utils.monitor import recv_monitor_message

PORTS = {f"{channel}_port": 0 for channel in CHANNELS}
PUBLIC, SECRET = (key.decode() for key in zmq.curve_keypair())
KEYS = {"curve_publickey": PUBLIC, "curve_secretkey": SECRET}
OTHERS = dict(zip(KEYS, (key.decode() for key in zmq.curve_keypair()), strict=True))


def connection(tmp_path, **fields):
    path = tmp_path / "kernel.json"
    path.write_text(json.dumps(PORTS | fields))
    return connections.read(path)


def refusal(tmp_path, **fields):
    with pytest.raises(ConnectionFileError) as caught:
        connection(tmp_path, **fields)
    told = str(caught.value)
    assert SECRET not in told, "no key stands in an error"
    return told.partition("cannot be used: ")[2]


def shut_out(client, channel, keys):
    """Assert that a stranger gets nothing on a channel: not even a connection.

    Not by waiting for nothing: the attempt of libzmq's to shake hands ends in an event.
    """
    kinds = {"iopub": zmq.SUB, "hb": zmq.REQ}
    context = zmq.Context()
    try:
        socket = context.socket(kinds.get(channel, zmq.DEALER))
        socket.setsockopt(zmq.RECONNECT_IVL, 5)
        if keys:
            socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
            socket.curve_serverkey = keys["curve_publickey"].encode()
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        socket.connect(client.url(channel))
        if channel == "iopub":
            socket.subscribe(b"")
        else:
            request = client.frames(client.header("kernel_info_request"), {})
            socket.send_multipart([b"ping"] if channel == "hb" else request)
        assert monitor.poll(DEADLINE * 1000), "no attempt was made, or it goes on for ever"
        assert recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED
        assert not socket.poll(0)
        socket.disable_monitor()
    finally:
        context.destroy(linger=0)


class TestKeysInTheFile:
    def test_are_read_and_written_back(self, tmp_path):
        """What encrypts stands in the file for every later client, and nobody else reads it."""
        found = connection(tmp_path, **KEYS)
        assert found.curve == (PUBLIC.encode(), SECRET.encode())
        connections.write(found)
        fields = json.loads(found.path.read_text())
        assert {name: fields[name] for name in KEYS} == KEYS
        assert stat.S_IMODE(found.path.stat().st_mode) == 0o600

    def test_are_not_shown(self, tmp_path):
        """Whatever is logged, no key is in it."""
        found = connection(tmp_path, **KEYS)
        assert repr(found.curve) == "<Keys>"
        assert "encrypted" in repr(found)
        assert PUBLIC not in repr(found)
        assert SECRET not in repr(found)

    @pytest.mark.parametrize("fields", [{}, dict.fromkeys(KEYS)])
    def test_may_be_missing(self, tmp_path, fields):
        """Without keys nothing is encrypted, and the file gets none."""
        found = connection(tmp_path, **fields)
        assert found.curve is None
        connections.write(found)
        assert not KEYS.keys() & json.loads(found.path.read_text()).keys()

    @pytest.mark.parametrize("missing", KEYS)
    def test_are_two_or_none(self, tmp_path, missing):
        """One key alone is no encryption, and to go on without would betray who asked for it."""
        (there,) = KEYS.keys() - {missing}
        told = refusal(tmp_path, **{there: KEYS[there]})
        assert told == f"it has {there} and no {missing}: encryption needs both."

    @pytest.mark.parametrize("name", KEYS)
    @pytest.mark.parametrize(
        "value",
        ["", "short", PUBLIC[:-1], SECRET + "0", " " * 40, "\u00e9" * 40, 5, [SECRET], {}],
        ids=["empty", "short", "39", "41", "spaces", "not-ascii", "number", "list", "object"],
    )
    def test_have_forty_characters_of_z85(self, tmp_path, name, value):
        """A key that is none is named, and not shown."""
        told = refusal(tmp_path, **KEYS | {name: value})
        assert told == f"{name} is no key of CurveZMQ, which has 40 characters of Z85."

    @pytest.mark.parametrize(
        "secret", [OTHERS["curve_secretkey"], "#" * 40], ids=["anothers", "made-up"]
    )
    def test_belong_together(self, tmp_path, secret):
        """With another's secret key no client could ever connect; it is told at once."""
        told = refusal(tmp_path, **KEYS | {"curve_secretkey": secret})
        assert told == "curve_publickey and curve_secretkey do not belong together."

    def test_need_a_libzmq_that_can(self, tmp_path, monkeypatch):
        """A libzmq without CurveZMQ is told with what helps; nothing runs in the clear instead."""
        monkeypatch.setattr(zmq, "has", lambda name: name != "curve")
        assert refusal(tmp_path, **KEYS) == (
            "it asks for encryption, and this libzmq was built without CurveZMQ. The pyzmq that "
            "pip installs has it; or let transport_encryption be 'disabled'."
        )

    @given(public=st.text(max_size=41), secret=st.text(max_size=41) | st.none())
    def test_of_any_kind_are_keys_or_an_error(self, public, secret):
        """Nothing but ValueError comes of what somebody may have written there."""
        try:
            curve.keys_in({"curve_publickey": public, "curve_secretkey": secret})
        except ValueError as error:
            assert str(error)  # noqa: PT017 - both ends are right

    def test_that_are_bad_end_the_kernel_with_words(self, tmp_path):
        """Who starts it reads why on stderr, and no traceback."""
        bad = KEYS | {"curve_secretkey": "bad"}
        with pytest.raises(UnexpectedError), kernel(tmp_path / "kernel", fields=bad):
            pass
        log = (tmp_path / "kernel" / "log.txt").read_text()
        assert log.startswith("bulkhead: The connection file ")
        assert log.endswith(
            "curve_secretkey is no key of CurveZMQ, which has 40 characters of Z85.\n"
        )


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
class TestAnEncryptedKernel:
    def test_serves_who_has_the_key(self, tmp_path, transport):
        """G24, G34: all five channels, as ever, through a crash, for a second client, too."""
        with kernel(tmp_path / "kernel", transport=transport, fields=KEYS) as frontend:
            frontend.beat()
            assert frontend.run("print('x'); 1") == [("stdout", "x\n"), ("result", "1")]
            frontend.request("kernel_info_request", channel="control")
            second = frontend.connect()
            second.beat()
            frontend.disconnect(second)
            parent = frontend.execute("input('?')", allow_stdin=True)
            frontend.recv_begin(parent)
            prompt = frontend.recv("stdin", "input_request", parent)
            frontend.send_input("typed", prompt)
            assert frontend.finish(parent, begun=True) == [("result", "'typed'")]
            parent = frontend.execute("import os; os._exit(3)")
            frontend.recv_begin(parent)
            frontend.recv_crash(parent)
            assert frontend.run("2") == [("result", "2")]

    @pytest.mark.parametrize("keys", [{}, OTHERS], ids=["no keys", "other keys"])
    def test_gives_nothing_to_who_has_not(self, tmp_path, transport, keys):
        """No channel, the heartbeat neither; not a word in the log, however often one tries."""
        with kernel(
            tmp_path / "kernel", transport=transport, fields=KEYS, options=["--log-level=DEBUG"]
        ) as frontend:
            for channel in CHANNELS:
                shut_out(frontend, channel, keys)
            assert frontend.run("1") == [("result", "1")]
            assert frontend.kernel.log.read_text() == ""

    def test_keeps_its_keys_to_itself(self, tmp_path, transport):
        """Neither the environment nor the command line of any of its processes tells them."""
        with kernel(
            tmp_path / "kernel", transport=transport, fields=KEYS, options=["--log-level=DEBUG"]
        ) as frontend:
            assert frontend.run("import os; SECRET = None") == []
            for process in frontend.kernel.family():
                told = json.dumps([process.cmdline(), process.environ()])
                assert SECRET not in told
                assert PUBLIC not in told
            assert SECRET not in frontend.kernel.log.read_text()


@pytest.fixture
def jupyter(tmp_path, monkeypatch):
    """A Jupyter of the test's own, with the packaged spec on this interpreter."""
    packaged = Path(__file__).parent.parent / "kernelspec" / "kernel.json"
    spec = json.loads(packaged.read_text())
    spec["argv"][0] = sys.executable
    folder = tmp_path / "kernels" / "bulkhead"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    for name in ("DATA", "RUNTIME", "CONFIG"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return tmp_path


def execute(client, code):
    reply = client.execute_interactive(code, timeout=DEADLINE, user_expressions={"value": "value"})
    return reply["content"]["user_expressions"]["value"]["data"]["text/plain"]


class TestJupyterClient:
    @pytest.mark.parametrize("transport", ["tcp", "ipc"])
    @pytest.mark.parametrize("policy", ["auto", "required"])
    def test_talks_to_it_encrypted(self, jupyter, transport, policy):
        """The spec says that the kernel can; so jupyter_client encrypts, and all of it works."""
        given_ip = {"ip": str(jupyter / "k")} if transport == "ipc" else {}
        manager = KernelManager(
            kernel_name="bulkhead",
            transport=transport,
            transport_encryption=policy,
            connection_file=str(jupyter / "kernel-1.json"),
            **given_ip,
        )
        manager.start_kernel()
        client = manager.client()
        try:
            client.start_channels()
            client.wait_for_ready(timeout=DEADLINE)
            assert manager.curve_secretkey is not None
            assert execute(client, "value = 6 * 7") == "42"
            assert client.is_alive()
            assert stat.S_IMODE(Path(manager.connection_file).stat().st_mode) == 0o600
            keys = manager.curve_publickey
            manager.restart_kernel()
            client.wait_for_ready(timeout=DEADLINE)
            assert manager.curve_publickey == keys
            assert execute(client, "value = __IPYTHON__") == "True"
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)

    def test_gets_no_encryption_unasked(self, jupyter):
        """Whoever wants none has none: the kernel makes no keys of its own."""
        manager, client = start_new_kernel(kernel_name="bulkhead", startup_timeout=DEADLINE)
        try:
            assert manager.curve_publickey is None
            assert "curve_publickey" not in json.loads(Path(manager.connection_file).read_text())
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


class TestTop:
    async def ask(self, path):
        (file,) = top_files.connection_files(path)
        control = Control()
        try:
            return await control.ask(file, "usage_request", DEADLINE)
        finally:
            control.close()

    def test_sees_an_encrypted_kernel(self, tmp_path):
        """`bulkhead top` has the keys of its user's kernels, as every client has."""
        with kernel(tmp_path / "kernel", fields=KEYS) as frontend:
            content = asyncio.run(self.ask(frontend.kernel.folder))
            assert content["bulkhead"]["state"] in ("starting", "idle")
            assert frontend.run("1") == [("result", "1")]
