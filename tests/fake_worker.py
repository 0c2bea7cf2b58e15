"""A worker that follows a script, in place of the real one, under the real supervisor and zygote.

The seam is the function that the zygote calls in a new process: ``worker.main.run``. This program
puts its own in its place and starts the supervisor as usual. The fake worker has the real pipes
and imports no IPython. It says hello, and then every execute_request's code is the script of what
to do: Python, run with the names of ``Fake`` at hand, which begins and ends the request itself.

What a new worker does before its hello is in the environment variable FAKE_START, also Python.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import types

from bulkhead_kernel.shared import frames, records
from bulkhead_kernel.shared.ledger import Ledger
from bulkhead_kernel.shared.records import Kind


class Fake:
    """One fake worker: the pipes, and what a script may want to do with them."""

    def __init__(self, descriptors, parent):
        os.setpgid(0, 0)
        self.descriptors = descriptors
        self.parent = parent
        self.ledger = Ledger(descriptors.ledger)
        self.decoder = frames.Decoder()
        self.requests = []
        self.number = 0
        self.count = 1
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.dup2(descriptors.stdout, 1)
        os.dup2(descriptors.stderr, 2)

    # Out.

    def bytes_of(self, kind, *parts, number=None, marks=(0, 0)):
        """Make the bytes of one record."""
        parts = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
        number = self.number if number is None else number
        return b"".join(map(bytes, records.encode(kind, number, parts, marks)))

    def write(self, data):
        """Write bytes on the pipe of records, all of them."""
        while data:
            data = data[os.write(self.descriptors.records, data) :]

    def send(self, kind, *parts, **more):
        """Write one record."""
        self.write(self.bytes_of(kind, *parts, **more))

    def hello(self):
        self.send(Kind.HELLO, number=0)

    def begin(self):
        self.send(Kind.BEGIN, self.count, b"")

    def text(self, text):
        self.send(Kind.STDOUT, text)

    def done(self, status="ok"):
        self.write(self.done_bytes(status))

    def done_bytes(self, status="ok"):
        content = json.dumps({"status": status, "execution_count": self.count})
        return self.bytes_of(Kind.DONE, self.count + 1, b"0", b"execute_reply", content, b"{}")

    # The end.

    @staticmethod
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def torn(self, data, size):
        """Write the first bytes of a record and die."""
        self.write(data[:size])
        self.die()

    def orphan(self, code="time.sleep(1000)"):
        """Leave a process in a session of its own that holds all of the pipes; give its pid."""
        there, here = os.pipe()
        pid = os.fork()
        if not pid:
            os.setsid()
            os.write(here, b".")  # before that, it would end with the group of a worker that dies
            os.close(here)
            os.close(there)
            exec(code, self.names())
            os._exit(0)
        os.read(there, 1)
        os.close(here)
        os.close(there)
        return pid

    # In.

    def serve(self):
        while (record := self.take()) is not None:
            self.number = record.number
            content = json.loads(record.parts[2])
            exec(content.get("code", "begin(); done()"), self.names())
            self.count += 1
        os._exit(0)

    def take(self):
        while not self.requests:
            data = os.read(self.descriptors.requests, 1 << 16)
            if not data:
                return None
            self.requests += map(records.decode, self.decoder.feed(data))
        return self.requests.pop(0)

    def names(self):
        """Give the names that a script may use."""
        names = {name: getattr(self, name) for name in dir(self) if not name.startswith("_")}
        return names | {
            "Kind": Kind, "frames": frames, "os": os, "select": select, "signal": signal,
            "sys": sys, "time": time, "fake": self,
        }  # fmt: skip


def run(descriptors, options, parent):
    """Be the worker: called by the zygote in a process of its own."""
    fake = Fake(descriptors, parent)
    try:
        exec(os.environ.get("FAKE_START", ""), fake.names())
        fake.hello()
        fake.serve()
    finally:
        os._exit(70)


if __name__ == "__main__":
    import bulkhead_kernel.worker

    stand_in = types.ModuleType("bulkhead_kernel.worker.main")
    stand_in.run, stand_in.warm_up = run, lambda: None
    sys.modules[stand_in.__name__] = bulkhead_kernel.worker.main = stand_in

    from bulkhead_kernel.supervisor.__main__ import main

    main()
