"""The handshake of protocol 5.6: the kernel chooses its ports and tells them to its launcher."""

from __future__ import annotations

import hmac
import json
import stat
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq
from bulkhead_kernel.supervisor import handshake
from bulkhead_kernel.supervisor.connection import CHANNELS
from bulkhead_kernel.supervisor.errors import ConnectionFileError, RegistrationError
from bulkhead_kernel.supervisor.wire import PROTOCOL_VERSION
from frontend import DEADLINE, DELIMITER, Client, Kernel, wait_gone
from jupyter_client.blocking import BlockingKernelClient

FIELDS = {
    "kernel_id": "5c1f0e9a-77",
    "transport": "tcp",
    "registration_ip": "127.0.0.1",
    "registration_port": 40001,
    "signature_scheme": "hmac-sha256",
    "key": "a key",
}
PATH = Path("registration.json")


class Launcher:
    """Who starts a kernel by the handshake: it listens before the kernel runs."""

    def __init__(self, folder, *, transport="tcp", ip="127.0.0.1", key="a key", **fields):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.key = key
        if transport == "tcp":
            self.socket.setsockopt(zmq.IPV6, ":" in ip)
            port = self.socket.bind_to_random_port(f"tcp://{ip}")
        else:
            port = 1
            self.socket.bind(f"ipc://{ip}-{port}")
        self.fields = FIELDS | {
            "transport": transport,
            "registration_ip": ip,
            "registration_port": port,
            "key": key,
            **fields,
        }
        self.kernel = Kernel(folder, start=False, env={"JUPYTER_RUNTIME_DIR": str(folder / "rt")})
        self.kernel.file.write_text(json.dumps(self.fields))
        self.file = folder / "rt" / f"kernel-{self.fields['kernel_id']}.json"

    def sign(self, content):
        digest = self.fields["signature_scheme"].removeprefix("hmac-")
        return (
            hmac.new(self.key.encode(), content, digest).hexdigest().encode() if self.key else b""
        )

    def receive(self):
        """Receive what a kernel registers with; give its identity and the content."""
        assert self.socket.poll(DEADLINE * 1000), self.kernel.log.read_text()
        identity, delimiter, signature, content = self.socket.recv_multipart()
        assert delimiter == DELIMITER
        assert signature == self.sign(content)
        return identity, json.loads(content)

    def acknowledge(self, identity, content=b"{}"):
        self.socket.send_multipart([identity, DELIMITER, self.sign(content), content])

    def connection(self, content):
        """Give the connection that a client has by what the kernel has told."""
        ports = {name: int(port) for name, port in content.items() if name != "kernel_id"}
        fields = {name: self.fields[name] for name in ("transport", "signature_scheme", "key")}
        return ports | fields | {"ip": self.fields["registration_ip"]}


@contextmanager
def launcher(folder, **options):
    launcher = Launcher(folder, **options)
    try:
        yield launcher
    finally:
        launcher.kernel.kill()
        launcher.kernel.close()
        launcher.context.destroy(linger=0)


@contextmanager
def client(connection):
    client = Client(connection, welcome=False)
    try:
        yield client
    finally:
        client.close()


def places(tmp_path):
    return [("tcp", "127.0.0.1"), ("ipc", str(tmp_path / "k"))]


class TestAKernelThatRegisters:
    @pytest.mark.parametrize("at", [0, 1], ids=["tcp", "ipc"])
    def test_tells_its_ports_and_serves_on_them(self, tmp_path, at):
        """The kernel's id and five ports as strings, and nothing else; then all is as ever."""
        transport, ip = places(tmp_path)[at]
        with launcher(tmp_path / "kernel", transport=transport, ip=ip) as other:
            other.kernel.start()
            identity, content = other.receive()
            assert content.keys() == {"kernel_id", *(f"{channel}_port" for channel in CHANNELS)}
            assert content["kernel_id"] == FIELDS["kernel_id"]
            assert all(isinstance(value, str) for value in content.values())
            other.acknowledge(identity, b'{"whatever":[1]}')
            with client(other.connection(content)) as frontend:
                # Only a subscription that takes effect before it is sure to hear of the cell.
                assert frontend.recv("iopub", "iopub_welcome", None).parent == {}
                frontend.beat()
                assert frontend.run("6 * 7") == [("result", "42")]
                frontend.request("kernel_info_request", channel="control")
                fields = json.loads(other.file.read_text())
                assert stat.S_IMODE(other.file.stat().st_mode) == 0o600
                assert fields == other.connection(content) | {"kernel_id": FIELDS["kernel_id"]}
                parent = frontend.send("control", "shutdown_request", {"restart": False})
                frontend.recv("control", "shutdown_reply", parent)
            assert other.kernel.wait() == 0
            assert not other.file.exists()
            assert other.kernel.file.exists(), "what was given stays"
            left = [path.name for path in tmp_path.iterdir() if path.is_socket()]
            assert left == (["k-1"] if transport == "ipc" else [])
            other.kernel.assert_quiet_log()

    def test_lets_others_connect_by_a_file_of_its_own(self, tmp_path):
        """jupyter_client finds the kernel by that file, as every other."""
        with launcher(tmp_path / "kernel") as other:
            other.kernel.start()
            identity, _ = other.receive()
            other.acknowledge(identity)
            jupyter = BlockingKernelClient(connection_file=str(other.file))
            jupyter.load_connection_file()
            jupyter.start_channels()
            try:
                jupyter.wait_for_ready(timeout=DEADLINE)
                assert (
                    jupyter.execute_interactive("1", timeout=DEADLINE)["content"]["status"] == "ok"
                )
            finally:
                jupyter.stop_channels()

    @pytest.mark.parametrize(
        "fields", [{"signature_scheme": "hmac-sha512"}, {"key": ""}], ids=["sha512", "no key"]
    )
    def test_signs_as_it_was_told(self, tmp_path, fields):
        """The same key and scheme for the handshake and for all that follows."""
        with launcher(tmp_path / "kernel", **fields) as other:
            other.kernel.start()
            identity, content = other.receive()
            other.acknowledge(identity)
            with client(other.connection(content)) as frontend:
                parent = frontend.send("shell", "kernel_info_request")
                frontend.recv_reply(parent, msg_type="kernel_info_reply")

    def test_takes_no_acknowledgement_but_a_signed_one(self, tmp_path):
        """What anybody may send to it is passed over."""
        with launcher(tmp_path / "kernel") as other:
            other.kernel.start()
            identity, _ = other.receive()
            for frames in (
                [b""],
                [DELIMITER],
                [DELIMITER, b"", b"{}"],
                [DELIMITER, b"0" * 64, b"{}"],
                [DELIMITER, other.sign(b"{}"), b"{}", b"{}"],
                [other.sign(b"{}"), b"{}"],
            ):
                other.socket.send_multipart([identity, *frames])
            other.acknowledge(identity)
            with client(json.loads(other.file.read_text())) as frontend:
                parent = frontend.send("shell", "kernel_info_request")
                frontend.recv_reply(parent, msg_type="kernel_info_reply")

    def test_registers_anew_when_it_is_restarted(self, tmp_path):
        """A new process of the same id takes the place of one that was killed, and of its file."""
        with launcher(tmp_path / "kernel") as other:
            for _ in range(2):
                other.kernel.start()
                identity, content = other.receive()
                other.acknowledge(identity)
                with client(other.connection(content)) as frontend:
                    parent = frontend.send("shell", "kernel_info_request")
                    frontend.recv_reply(parent, msg_type="kernel_info_reply")
                    assert json.loads(other.file.read_text())["hb_port"] == int(content["hb_port"])
                other.kernel.kill()
                assert other.file.exists()

    def test_ends_with_a_launcher_that_is_gone(self, tmp_path):
        """G32: while it waits, it still ends by a signal, and so does its zygote."""
        with launcher(tmp_path / "kernel") as other:
            other.kernel.start()
            other.receive()
            other.kernel.process.terminate()
            assert other.kernel.wait() == -15
            for pid in other.kernel.processes():
                assert wait_gone(pid, DEADLINE)


class TestALauncherThatDoesNotAnswer:
    def registration(self, tmp_path, port):
        return handshake.read(FIELDS | {"registration_port": port}, tmp_path / "registration.json")

    def test_is_not_waited_for_for_ever(self, tmp_path):
        """The kernel ends, with words that say where it has asked, and what is wrong."""
        context = zmq.Context()
        try:
            with context.socket(zmq.ROUTER) as silent:
                silent.linger = 0
                port = silent.bind_to_random_port("tcp://127.0.0.1")
                registration = self.registration(tmp_path, port)
                bound = handshake.connection(registration, tmp_path)
                with pytest.raises(RegistrationError) as caught:
                    handshake.register(registration, bound, context, 0.05)
                assert silent.poll(DEADLINE * 1000), "it was asked"
        finally:
            context.destroy(linger=0)
        assert str(caught.value) == (
            f"The kernel has told its ports to tcp://127.0.0.1:{port}, and nothing came back in "
            f"0.05 s that is signed with the key in {tmp_path / 'registration.json'}. Whoever "
            "wrote it must listen there and answer; the kernel ends."
        )
        assert handshake.ANSWERED == 10

    def test_costs_the_kernel_and_leaves_nothing(self, tmp_path):
        """Neither files, nor sockets, nor processes; the exit status is 1."""
        program = (
            "import sys; from bulkhead_kernel.supervisor import handshake\n"
            "handshake.ANSWERED = 0.2\n"
            "from bulkhead_kernel.supervisor import __main__; __main__.main()"
        )
        ip = str(tmp_path / "new" / "k")
        registration = tmp_path / "registration.json"
        registration.write_text(
            json.dumps(FIELDS | {"transport": "ipc", "registration_ip": ip, "registration_port": 9})
        )
        kernel = Kernel(
            tmp_path / "kernel",
            command=[sys.executable, "-c", program],
            env={"JUPYTER_RUNTIME_DIR": str(tmp_path / "rt")},
            start=False,
        )
        kernel.file = registration
        kernel.start()
        try:
            assert kernel.wait() == 1
            kernel.assert_gone()
            assert "The kernel has told its ports to ipc://" in kernel.log.read_text()
            assert "Traceback" not in kernel.log.read_text()
            assert list((tmp_path / "rt").iterdir()) == []
            assert not (tmp_path / "new").exists()
        finally:
            kernel.kill()
            kernel.close()


class TestTheFile:
    def test_is_told_from_a_connection_file(self):
        """By its content: one has the launcher's port, the other one five."""
        assert handshake.is_registration(FIELDS)
        assert not handshake.is_registration(FIELDS | {"shell_port": 1})
        assert not handshake.is_registration({"shell_port": 1})

    def test_names_where_the_launcher_is(self):
        """Over tcp a port, over ipc a suffix; the key is not shown."""
        registration = handshake.read(FIELDS, PATH)
        assert registration.url == "tcp://127.0.0.1:40001"
        assert repr(registration) == "<Registration of 5c1f0e9a-77 at tcp://127.0.0.1:40001>"
        ipc = handshake.read(FIELDS | {"transport": "ipc", "registration_ip": "/run/k"}, PATH)
        assert ipc.url == "ipc:///run/k-40001"

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"kernel_id": ...}, "kernel_id must be 1 to 100 ASCII letters"),
            ({"kernel_id": "../x"}, "not '../x'"),
            ({"kernel_id": ".x"}, "not '.x'"),
            ({"kernel_id": "x" * 101}, "kernel_id must be 1 to 100"),
            ({"kernel_id": 5}, "kernel_id must be a string, not 5"),
            ({"registration_ip": ...}, "registration_ip is missing"),
            ({"registration_ip": 5}, "registration_ip must be a string, not 5"),
            ({"registration_port": 0}, "registration_port must be a port on which somebody"),
            ({"registration_port": "x"}, "registration_port must be a port from 0 to 65535"),
            ({"transport": "udp"}, "transport 'udp' is not one of tcp, ipc"),
            ({"signature_scheme": "md5"}, "signature_scheme 'md5' is not one of"),
            ({"key": 5}, "key must be a string, not 5"),
            ({"curve_publickey": "x"}, "it has curve_publickey and no curve_secretkey"),
        ],
    )
    def test_that_cannot_be_used_is_told(self, fields, words):
        """The field is named, and what would do."""
        changed = {name: value for name, value in (FIELDS | fields).items() if value is not ...}
        with pytest.raises(ConnectionFileError) as caught:
            handshake.read(changed, PATH)
        assert str(caught.value).startswith(
            "The registration file registration.json cannot be used"
        )
        assert words in str(caught.value)

    def test_with_an_address_to_nowhere_is_told(self, tmp_path):
        """No way to the launcher is no way to a client either."""
        fields = FIELDS | {"registration_ip": "no address at all"}
        with pytest.raises(ConnectionFileError, match="there is no way to no address at all"):
            handshake.connection(handshake.read(fields, PATH), tmp_path)


def test_the_kernelspec_says_that_the_kernel_can():
    """A launcher knows by the protocol's version if a kernel registers: from 5.6 on."""
    packaged = Path(__file__).parent.parent / "kernelspec" / "kernel.json"
    assert json.loads(packaged.read_text())["kernel_protocol_version"] == "5.6"
    assert PROTOCOL_VERSION == "5.6"
