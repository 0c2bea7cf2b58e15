"""A kernel that knows its control channel only, for tests of whoever asks there.

As a process: ``python fake_kernel.py bulkhead_kernel.supervisor -f FILE SCRIPT``, where SCRIPT is
a JSON object: kinds of requests and the contents of their replies; null is no reply at all. What
it was asked goes to stdout, a line each, after a first line that tells that it listens.
"""

import hashlib
import hmac
import json
import sys

import zmq

KEY = "0f3e"
DELIMITER = b"<IDS|MSG>"


def bind(context, path, **fields):
    """Bind a shell and a control socket; write the connection file."""
    shell, control = context.socket(zmq.ROUTER), context.socket(zmq.ROUTER)
    ports = [each.bind_to_random_port("tcp://127.0.0.1") for each in (shell, control)]
    known = {
        "shell_port": ports[0],
        "control_port": ports[1],
        "iopub_port": 1,
        "stdin_port": 2,
        "hb_port": 3,
        "ip": "127.0.0.1",
        "key": KEY,
        "transport": "tcp",
        "signature_scheme": "hmac-sha256",
        "kernel_name": "bulkhead",
    }
    path.write_text(json.dumps(known | fields))
    return shell, control


def sign(parts, key=KEY):
    return hmac.new(key.encode(), b"".join(parts), hashlib.sha256).hexdigest().encode()


def read(frames):
    """Give the identities and the header of a request, whose signature must be right."""
    at = frames.index(DELIMITER)
    signature, *parts = frames[at + 1 :]
    assert signature == sign(parts)
    return frames[:at], json.loads(parts[0])


def reply(identities, header, content, *, kind=None, key=KEY, parent=None):
    """Give the frames of a reply; with ``kind``, ``key`` or ``parent`` one that is wrong."""
    kind = kind or header["msg_type"].replace("_request", "_reply")
    parent = header if parent is None else parent
    parts = [
        json.dumps(each).encode()
        for each in ({"msg_id": "r", "msg_type": kind}, parent, {}, content)
    ]
    return [*identities, DELIMITER, sign(parts, key), *parts]


def main():
    from pathlib import Path  # noqa: PLC0415

    script = json.loads(sys.argv[-1])
    with zmq.Context() as context:
        shell, control = bind(context, Path(sys.argv[3]))
        with shell, control:
            print("listening", flush=True)
            while True:
                identities, header = read(control.recv_multipart())
                print(header["msg_type"], flush=True)
                content = script.get(header["msg_type"])
                if content is not None:
                    control.send_multipart(reply(identities, header, content))


if __name__ == "__main__":
    main()
