"""What ``bulkhead top`` reads that others wrote: files, servers' answers, kernels' messages."""

import json
import os
from pathlib import Path

import fake_kernel
import pytest
from bulkhead_kernel.kernelspec import top_control, top_files, top_servers
from bulkhead_kernel.kernelspec.top_files import ConnectionFile, connection_files, printable
from bulkhead_kernel.kernelspec.top_servers import Server, Session

GOOD = {
    "shell_port": 5001,
    "control_port": 5002,
    "ip": "127.0.0.1",
    "key": "k",
    "transport": "tcp",
    "signature_scheme": "hmac-sha256",
    "kernel_name": "python3",
}
JPSERVER = {
    "base_url": "/user/x/",
    "hostname": "localhost",
    "pid": os.getpid(),
    "port": 8888,
    "secure": False,
    "sock": "",
    "token": "t0ken",
}
SERVER = Server("127.0.0.1", 8888, "/user/x/", "t0ken", os.getpid())


class TestFolder:
    def test_connection_files_among_garbage(self, tmp_path):
        """Each connection file is found, and nothing else in the folder disturbs."""
        good = json.dumps(GOOD)
        (tmp_path / "kernel-good.json").write_text(good)
        (tmp_path / "other.json").write_text(json.dumps(GOOD | {"kernel_name": "\x1b[2J"}))
        (tmp_path / "broken.json").write_text(good[:-1])
        (tmp_path / "empty.json").write_text("")
        (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
        (tmp_path / "deep.json").write_text("[" * 60_000)
        (tmp_path / "huge.json").write_text(good + " " * 100_000)
        (tmp_path / "list.json").write_text("[1]")
        (tmp_path / "jpserver-1.json").write_text(json.dumps(JPSERVER))
        (tmp_path / "folder.json").mkdir()
        (tmp_path / "dangling.json").symlink_to(tmp_path / "nowhere")
        os.mkfifo(tmp_path / "pipe.json")
        found = connection_files(tmp_path)
        assert [(each.kernel_id, each.kernel_name) for each in found] == [
            ("good", "python3"),
            ("other", "�[2J"),
        ]
        assert found[0].control == "tcp://127.0.0.1:5002"

    def test_another_user_s_files(self, tmp_path, monkeypatch):
        """A file of another user's is none of ours, whatever it says."""
        (tmp_path / "kernel-good.json").write_text(json.dumps(GOOD))
        uid = os.getuid() + 1
        monkeypatch.setattr(os, "getuid", lambda: uid)
        assert connection_files(tmp_path) == []

    def test_no_folder(self, tmp_path):
        """Where Jupyter never ran, nothing runs."""
        assert connection_files(tmp_path / "nowhere") == []

    @pytest.mark.parametrize(
        "change",
        [
            {"shell_port": None},
            {"shell_port": "5001"},
            {"shell_port": True},
            {"control_port": 70_000},
            {"control_port": 0},
            {"key": None},
            {"key": 5},
            {"ip": 5},
            {"ip": "\ud800"},
            {"transport": "pgm"},
            {"transport": []},
            {"signature_scheme": "hmac-shake_128"},
            {"signature_scheme": 5},
        ],
    )
    def test_no_connection_file(self, change):
        """What cannot be a connection file is none."""
        assert top_files.parse(Path("x.json"), GOOD | change) is None

    def test_what_may_be_missing(self):
        """Names, the address and the scheme have defaults; the key is in no repr."""
        fields = {"shell_port": 1, "control_port": 2, "key": "sesame"}
        parsed = top_files.parse(Path("/run/x.json"), fields)
        expected = ConnectionFile(
            Path("/run/x.json"), None, "tcp", "127.0.0.1", 1, 2, "sha256", b"sesame"
        )
        assert parsed == expected
        assert "sesame" not in repr(parsed)

    def test_sockets_in_the_file_system(self):
        """With the transport ipc, a port is a part of a path."""
        parsed = top_files.parse(Path("x"), GOOD | {"transport": "ipc", "ip": "/run/sock"})
        assert parsed.control == "ipc:///run/sock-5002"

    def test_printable(self):
        """Nothing that was read moves the cursor of a terminal."""
        assert printable("naïve →\x1b[31m\n\ud800\u202e") == "naïve →�[31m���"


class TestServers:
    def test_a_server(self):
        """Its file tells where it is; the token stands in no address and no repr."""
        server = top_servers.parse(JPSERVER)
        assert server == SERVER
        assert server.url == "http://127.0.0.1:8888/user/x/"
        assert "t0ken" not in repr(server)

    @pytest.mark.parametrize(
        ("hostname", "host"),
        [("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1"), ("::", "::1"), ("::1", "::1")],
    )
    def test_one_that_listens_everywhere(self, hostname, host):
        """It is asked on the loopback interface."""
        assert top_servers.parse(JPSERVER | {"hostname": hostname}).host == host

    @pytest.mark.parametrize(
        "change",
        [
            {"hostname": "example.org"},
            {"hostname": None},
            {"secure": True},
            {"sock": "/run/x"},
            {"token": ""},
            {"token": "t\r\nHost: x"},
            {"base_url": "//\n"},
            {"base_url": "x"},
            {"port": "8888"},
            {"port": 0},
            {"pid": None},
            {"pid": -1},
        ],
    )
    def test_one_that_is_not_asked(self, change):
        """A token leaves for this machine's own servers only."""
        assert top_servers.parse(JPSERVER | change) is None

    def test_its_answers(self):
        """Kernels with and without a notebook; what makes no sense is left out."""
        kernels = [
            {"id": "a", "execution_state": "busy"},
            {"id": "b", "execution_state": 5},
            {"id": 7},
            "c",
        ]
        sessions = [
            {"path": "n\x1b.ipynb", "kernel": {"id": "a"}},
            {"path": "m.ipynb", "kernel": None},
            {"path": 5, "kernel": {"id": "b"}},
            None,
        ]
        assert top_servers.read(SERVER, kernels, sessions) == {
            "a": Session(SERVER, "a", "busy", "n�.ipynb"),
            "b": Session(SERVER, "b", None, None),
        }
        assert top_servers.read(SERVER, {"message": "Forbidden"}, None) == {}


FILE = top_files.parse(Path("x"), GOOD | {"key": fake_kernel.KEY})
HEADER = {"msg_id": "asked", "msg_type": "usage_request"}


class TestAnswers:
    def answer(self, frames):
        return top_control.answer(FILE, frames, "asked")

    def test_a_request_is_read_by_a_kernel(self):
        """The request is signed, and names what is asked."""
        identities, header = fake_kernel.read(top_control.request(FILE, "usage_request", "asked"))
        assert identities == []
        assert header | HEADER == header

    def test_an_answer(self):
        """A reply that is signed and names the request is one, with or without identities."""
        assert self.answer(fake_kernel.reply([], HEADER, {"a": 1})) == {"a": 1}
        assert self.answer(fake_kernel.reply([b"id"], HEADER, {"a": 1})) == {"a": 1}

    @pytest.mark.parametrize(
        "wrong",
        [
            {"key": "stolen"},
            {"kind": "status"},
            {"kind": 5},
            {"parent": {"msg_id": "another"}},
            {"parent": []},
            {"parent": "asked"},
        ],
    )
    def test_another_message(self, wrong):
        """What somebody else was told, or nobody signed, is no answer."""
        assert self.answer(fake_kernel.reply([], HEADER, {"a": 1}, **wrong)) is None

    @pytest.mark.parametrize("content", [[1], "x", None, 5])
    def test_content_that_is_no_object(self, content):
        """An answer is an object."""
        assert self.answer(fake_kernel.reply([], HEADER, content)) is None

    def test_no_message_at_all(self):
        """Frames that are no message are passed over."""
        good = fake_kernel.reply([], HEADER, {})
        for frames in ([], [b""], good[1:], good[:5], [*good[:2], b"{", *good[3:]]):
            assert self.answer(frames) is None
