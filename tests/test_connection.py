"""The connection file and its sockets: what can be read is used, what cannot is named."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq
from bulkhead_kernel.supervisor import connection as connections
from bulkhead_kernel.supervisor import sockets as bound_sockets
from bulkhead_kernel.supervisor.connection import CHANNELS
from bulkhead_kernel.supervisor.errors import ConnectionFileError
from hypothesis import given
from hypothesis import strategies as st

FIELDS = {
    "shell_port": 50001,
    "iopub_port": 50002,
    "stdin_port": 50003,
    "control_port": 50004,
    "hb_port": 50005,
    "transport": "tcp",
    "ip": "127.0.0.1",
    "key": "a key",
    "signature_scheme": "hmac-sha256",
    "kernel_name": "bulkhead",
    "jupyter_session": {"nested": [1, 2.5, None]},
}
OURS = {"kernel_name", "jupyter_session"}
ANY_PORT = {f"{channel}_port": 0 for channel in CHANNELS}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kernel-1.json"


@pytest.fixture
def bind():
    """Give ``bind``, and take whatever was bound away afterwards."""
    contexts, bound = (zmq.Context(), zmq.Context()), []

    def bind(connection):
        bound.append(bound_sockets.bind(connection, *contexts))
        return bound[-1]

    yield bind
    for context in contexts:
        context.destroy(linger=0)


def write(path, **changes):
    fields = {name: value for name, value in (FIELDS | changes).items() if value is not ...}
    path.write_text(json.dumps(fields))
    return path


def read(path, **changes):
    return connections.read(write(path, **changes))


def refusal(path):
    with pytest.raises(ConnectionFileError) as caught:
        connections.read(path)
    assert str(path) in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


class TestReading:
    def test_takes_what_jupyter_writes(self, path):
        """The five ports, the address and the key; what is not ours is kept."""
        connection = read(path)
        assert connection.ports == {
            "shell": 50001, "iopub": 50002, "stdin": 50003, "control": 50004, "hb": 50005,
        }  # fmt: skip
        assert (connection.transport, connection.ip) == ("tcp", "127.0.0.1")
        assert (connection.key, connection.signature_scheme) == (b"a key", "hmac-sha256")
        assert connection.extra == {name: FIELDS[name] for name in OURS}
        assert connection.url("shell") == "tcp://127.0.0.1:50001"
        assert repr(connection).startswith("<Connection tcp://127.0.0.1 {'shell': 50001,")
        assert "a key" not in repr(connection)

    def test_takes_ports_as_strings(self, path):
        """Some launchers fill in a template, and so every port is a string."""
        ports = {f"{channel}_port": str(50001 + at) for at, channel in enumerate(CHANNELS)}
        assert read(path, **ports).ports == {
            channel: 50001 + at for at, channel in enumerate(CHANNELS)
        }

    def test_fills_in_what_may_be_missing(self, path):
        """Without an address it is this machine; without a key nothing is signed."""
        connection = read(path, transport=..., ip=..., key=..., signature_scheme=...)
        assert (connection.transport, connection.ip) == ("tcp", "127.0.0.1")
        assert (connection.key, connection.signature_scheme) == (b"", "hmac-sha256")
        assert read(path, ip="").ip == "127.0.0.1"

    def test_takes_several_ports_that_are_to_be_chosen(self, path):
        """Port 0 is no port: five channels may have it."""
        connection = read(path, **ANY_PORT)
        assert connection.url("hb") == "tcp://127.0.0.1:*"

    @pytest.mark.parametrize("scheme", ["hmac-sha256", "hmac-sha512", "hmac-md5"])
    def test_takes_every_scheme(self, path, scheme):
        """What can be signed can be asked for."""
        assert read(path, signature_scheme=scheme).signature_scheme == scheme


class TestAFileThatCannotBeUsed:
    def test_is_missing(self, path):
        """Whoever starts a kernel is told which file, and where such files come from."""
        assert refusal(path) == (
            "The connection file FILE cannot be read: No such file or directory. "
            "Jupyter writes this file and passes its path with -f."
        )

    def test_is_a_folder(self, tmp_path):
        """A path that is no file is told as the system tells it."""
        assert "cannot be read: Is a directory" in refusal(tmp_path)

    def test_is_unreadable(self, path, monkeypatch):
        """A file of somebody else's is told as such."""

        def refuse(*_, **__):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

        monkeypatch.setattr(Path, "read_text", refuse)  # root, who may run this, can read all
        assert "cannot be read: Permission denied" in refusal(path)

    def test_is_no_text(self, path):
        """A file that is not in UTF-8 is no connection file."""
        path.write_bytes(b'{"key": "\xff"}')
        assert refusal(path) == "The connection file FILE is not text in UTF-8."

    @pytest.mark.parametrize("text", ["", "{", "{'shell_port': 1}", "[" * 100_000, "1" * 5_000])
    def test_is_no_json(self, path, text):
        """What is wrong with it is said in the words of the parser."""
        path.write_text(text)
        told = refusal(path)
        assert "is not valid JSON" in told
        assert len(told) < 500

    @pytest.mark.parametrize("value", [[], None, 5, "text"])
    def test_is_no_object(self, path, value):
        """JSON that is no object has no ports."""
        path.write_text(json.dumps(value))
        assert "must hold a JSON object with the ports and the key" in refusal(path)

    @pytest.mark.parametrize("channel", CHANNELS)
    def test_lacks_a_port(self, path, channel):
        """Each of the five is needed, and the missing one is named."""
        write(path, **{f"{channel}_port": ...})
        assert refusal(path) == (
            f"The connection file FILE cannot be used: {channel}_port is missing."
        )

    @pytest.mark.parametrize(
        "port", [-1, 65_536, 1 << 70, "", "http", "1.5", 1.5, True, None, [1], {"a": 1}]
    )
    def test_has_a_port_that_is_none(self, path, port):
        """The field and the value are named."""
        write(path, hb_port=port)
        assert f"hb_port must be a port from 0 to 65535, not {port!r}" in refusal(path)

    def test_has_a_port_twice(self, path):
        """Two channels cannot be bound to one port."""
        write(path, hb_port=50001)
        assert "two channels have the same port" in refusal(path)

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("transport", "udp", "transport 'udp' is not one of tcp, ipc"),
            ("transport", ["tcp"], "transport ['tcp'] is not one of tcp, ipc"),
            ("transport", None, "transport None is not one of tcp, ipc"),
            ("signature_scheme", "hmac-sha1", "signature_scheme 'hmac-sha1' is not one of hmac-"),
            ("signature_scheme", {}, "signature_scheme {} is not one of hmac-"),
            ("key", 5, "key must be a string, not 5"),
            ("key", None, "key must be a string, not None"),
            ("ip", 5, "ip must be a string, not 5"),
            ("ip", ["::1"], "ip must be a string, not ['::1']"),
            ("key", "\ud800", "surrogates not allowed"),
        ],
    )
    def test_has_a_field_of_the_wrong_kind(self, path, name, value, words):
        """The field and the value are named, and what would do."""
        write(path, **{name: value})
        assert words in refusal(path)

    @given(
        fields=st.dictionaries(
            st.sampled_from(sorted(FIELDS)),
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text()
            | st.lists(st.text()),
        )
    )
    def test_is_told_whatever_is_in_it(self, fields, tmp_path_factory):
        """Any file gives a Connection or a ConnectionFileError, and nothing else."""
        path = tmp_path_factory.getbasetemp() / "any.json"
        path.write_text(json.dumps(FIELDS | fields))
        try:
            connections.read(path)
        except ConnectionFileError as error:
            assert str(path) in str(error)  # noqa: PT017 - both ends are right


class TestWriting:
    def test_gives_back_what_was_read(self, path):
        """Fields that are not ours survive, and so does everything else."""
        connections.write(read(path))
        assert json.loads(path.read_text()) == FIELDS

    def test_is_for_the_owners_eyes_alone(self, path):
        """The key is in it: nobody else may read it, also where anybody could read the old one."""
        write(path).chmod(0o666)
        before = os.umask(0)
        try:
            connections.write(read(path))
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert list(path.parent.iterdir()) == [path]

    def test_makes_the_folder_that_is_missing(self, tmp_path):
        """The runtime folder of somebody's first kernel does not exist yet."""
        path = tmp_path / "new" / "deeper" / "kernel.json"
        connections.write(connections.invent(path))
        assert path.exists()

    def test_says_why_it_cannot(self, tmp_path):
        """A path that cannot be written is told in words."""
        (tmp_path / "file").write_text("")
        connection = connections.invent(tmp_path / "file" / "kernel.json")
        with pytest.raises(ConnectionFileError, match="cannot be written: "):
            connections.write(connection)

    def test_of_a_connection_of_our_own(self, tmp_path):
        """A kernel that was started without a file has a key that nobody can guess."""
        one, other = (connections.invent(tmp_path / "kernel.json") for _ in range(2))
        assert one.key != other.key
        assert len(one.key) == 64
        assert set(one.ports.values()) == {0}


class TestBinding:
    def test_chooses_ports_and_tells_them(self, path, bind):
        """Port 0 becomes a port that clients read in the file."""
        given_connection = read(path, **ANY_PORT)
        sockets, bound = bind(given_connection)
        connections.write(bound)
        fields = json.loads(path.read_text())
        ports = [fields[f"{channel}_port"] for channel in CHANNELS]
        assert len(set(ports)) == 5
        assert all(port > 0 for port in ports)
        assert set(fields) >= OURS
        assert set(given_connection.ports.values()) == {0}
        for channel in CHANNELS:
            endpoint = getattr(sockets, channel).getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0")
            assert endpoint.decode() == bound.url(channel)

    def test_takes_the_ports_that_it_is_given(self, path, bind):
        """What the file says is where clients connect."""
        with zmq.Context() as context:
            _, chosen = bound_sockets.bind(read(path, **ANY_PORT), context, context)
            context.destroy(linger=0)
        _, bound = bind(chosen)
        assert bound == chosen

    def test_makes_the_kinds_of_sockets_that_clients_expect(self, path, bind):
        """G34, G35: IOPub is an XPUB without a limit; what asks for an answer is a ROUTER."""
        sockets, _ = bind(read(path, **ANY_PORT))
        kinds = {channel: getattr(sockets, channel).getsockopt(zmq.TYPE) for channel in CHANNELS}
        assert kinds == dict.fromkeys(CHANNELS, zmq.ROUTER) | {"iopub": zmq.XPUB}
        assert {getattr(sockets, channel).sndhwm for channel in CHANNELS} == {0}

    def test_says_which_channel_has_no_port(self, path, bind):
        """A port in use is told with its channel and what can be done."""
        with zmq.Context() as context, context.socket(zmq.ROUTER) as holder:
            port = holder.bind_to_random_port("tcp://127.0.0.1")
            connection = read(path, **ANY_PORT | {"control_port": port})
            with pytest.raises(ConnectionFileError) as caught:
                bind(connection)
        assert str(caught.value) == (
            f"The control channel cannot be bound to tcp://127.0.0.1:{port}: Address already in "
            "use. Another kernel or program may be using it; start the kernel anew with other "
            "ports."
        )

    def test_says_that_an_address_is_not_of_this_machine(self, path, bind):
        """An address that is none is told like a port in use: with its channel."""
        connection = read(path, **ANY_PORT, ip="198.51.100.7")
        with pytest.raises(ConnectionFileError, match="The shell channel cannot be bound to tcp:"):
            bind(connection)

    def test_over_ipv6(self, path, bind):
        """An address with colons is one of IPv6."""
        if not Path("/proc/net/if_inet6").exists() and sys.platform == "linux":
            pytest.skip("this machine has no IPv6")
        _, bound = bind(read(path, **ANY_PORT, ip="::1"))
        assert len(set(bound.ports.values())) == 5


class TestBindingInTheFileSystem:
    def test_is_for_the_owner_alone(self, path, bind):
        """Who may not read the key may not connect: ipc sockets have no mode for others."""
        before = os.umask(0)
        try:
            _, bound = bind(read(path, transport="ipc", ip=str(path.parent / "ipc")))
            assert os.umask(0) == 0  # the process's own umask is as it was
        finally:
            os.umask(before)
        for channel in CHANNELS:
            mode = Path(bound.url(channel).removeprefix("ipc://")).stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) & 0o077 == 0

    def test_chooses_names_that_are_free(self, path, bind):
        """Port 0 becomes the first number that no file has."""
        base = path.parent / "ipc"
        Path(f"{base}-2").write_text("somebody's")
        _, bound = bind(read(path, transport="ipc", ip=str(base), **ANY_PORT))
        assert sorted(bound.ports.values()) == [1, 3, 4, 5, 6]
        assert Path(f"{base}-2").read_text() == "somebody's"

    def test_says_that_a_path_cannot_be(self, path, bind):
        """A path that is too long, or in no folder's folder, is told with its channel."""
        for base in (path.parent / ("x" * 200), path.parent / "none" / "deeper" / "ipc"):
            connection = read(path, transport="ipc", ip=str(base))
            with pytest.raises(ConnectionFileError, match="The shell channel cannot be bound to"):
                bind(connection)

    def test_makes_a_folder_for_its_owner_alone(self, path, bind):
        """Nobody else even sees the names of the sockets; at the end nothing is left of it."""
        before = os.umask(0)
        try:
            sockets, bound = bind(read(path, transport="ipc", ip=str(path.parent / "new" / "s")))
        finally:
            os.umask(before)
        folder = path.parent / "new"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {file.name for file in folder.iterdir()} == {
            f"s-{port}" for port in bound.ports.values()
        }
        sockets.place.clean_up()
        assert not folder.exists()

    def test_removes_its_own_at_the_end_and_nobody_elses(self, path, bind):
        """A folder that was there stays; so does a socket that took the place of ours."""
        sockets, bound = bind(read(path, transport="ipc", ip=str(path.parent / "s")))
        taken = Path(bound.url("hb").removeprefix("ipc://"))
        other = path.parent / "other"
        with socket.socket(socket.AF_UNIX) as somebodys:
            somebodys.bind(str(other))
        other.rename(taken)
        sockets.place.clean_up()
        assert [file for file in path.parent.iterdir() if file != path] == [taken]

    def test_that_fails_leaves_nothing(self, path, bind):
        """Not the sockets before the one that cannot be bound, and not the folder."""
        base = path.parent / "new" / "s"
        base.parent.mkdir()
        Path(f"{base}-50005").write_text("somebody's")  # the heartbeat's, and the last one
        with pytest.raises(ConnectionFileError):
            bind(read(path, transport="ipc", ip=str(base)))
        assert [file.name for file in base.parent.iterdir()] == ["s-50005"]

    def test_never_takes_a_files_place(self, path, bind):
        """libzmq would remove whatever has the name of a socket: a file that is none is spared."""
        base = path.parent / "s"
        Path(f"{base}-50001").write_text("somebody's")
        with pytest.raises(ConnectionFileError) as caught:
            bind(read(path, transport="ipc", ip=str(base)))
        assert str(caught.value) == (
            f"The shell channel cannot be bound to {base}-50001: a file is there that is no "
            "socket. Remove it, or start the kernel anew with another ip."
        )
        assert Path(f"{base}-50001").read_text() == "somebody's"

    def test_takes_the_place_of_a_socket_that_was_left(self, path, bind):
        """G24: a kernel that was killed leaves its sockets; the next one has the same names."""
        connection = read(path, transport="ipc", ip=str(path.parent / "s"))
        for channel in CHANNELS:
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(connection.url(channel).removeprefix("ipc://"))
        _, bound = bind(connection)
        assert bound == connection

    def test_of_two_at_once_gives_each_its_own_names(self, path):
        """Names are chosen by one kernel at a time, whoever starts first."""
        write(path, transport="ipc", ip=str(path.parent / "s"), **ANY_PORT)
        program = (
            "import sys, zmq; from pathlib import Path\n"
            "from bulkhead_kernel.supervisor import connection, sockets\n"
            "given = connection.read(Path(sys.argv[1])); context = zmq.Context()\n"
            "print('here', flush=True); sys.stdin.readline()\n"
            "bound = sockets.bind(given, context, context)\n"
            "print(*bound[1].ports.values(), flush=True); sys.stdin.readline()\n"
            "context.destroy(linger=0)"
        )
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [sys.executable, "-c", program, str(path)]
        with ExitStack() as stack:
            kernels = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(4)]
            for kernel in kernels:
                assert kernel.stdout.readline() == "here\n"
            for kernel in kernels:
                kernel.stdin.write("\n")
                kernel.stdin.flush()
            chosen = [port for kernel in kernels for port in kernel.stdout.readline().split()]
        assert sorted(map(int, chosen)) == list(range(1, 21))


class TestAKernelInTheFileSystem:
    def test_leaves_nothing_there(self, launch, tmp_path):
        """G31: its sockets are its owner's alone while it lives, and gone when it has ended."""
        folder = tmp_path / "sockets"
        frontend = launch(transport="ipc", fields={"ip": str(folder / "s")})
        assert frontend.run("1") == [("result", "1")]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
        assert modes == dict.fromkeys(["s-1", "s-2", "s-3", "s-4", "s-5"], 0o700)
        frontend.finish_kernel()
        assert not folder.exists()
