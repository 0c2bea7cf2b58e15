"""A strict client's debugger panel: each answer is the next one, each event is kept for a look."""

from __future__ import annotations

import itertools

from frontend import merged

INITIALIZE = {
    "clientID": "test",
    "clientName": "test",
    "adapterID": "",
    "pathFormat": "path",
    "linesStartAt1": True,
    "columnsStartAt1": True,
}


class Panel:
    """One debug session on a kernel."""

    def __init__(self, frontend):
        self.frontend = frontend
        self.events = []
        self._pairs = {}  # states that are still to come of requests that were answered
        self._seq = itertools.count(1)
        self.prefix = self.ask("debugInfo")["tmpFilePrefix"]

    def send(self, command, /, **arguments):
        """Send a request; give its msg_id and its seq."""
        seq = next(self._seq)
        content = {"type": "request", "seq": seq, "command": command, "arguments": arguments}
        return self.frontend.send("control", "debug_request", content), seq

    def ask(self, command, /, *, answered_as=None, success=True, **arguments):
        sent = self.send(command, **arguments)
        return self.recv(sent, answered_as or command, success=success)

    def recv(self, sent, command, *, success=True, at_once=True):
        """Receive the answer, with its busy and idle; give its body, or why there is none."""
        msg_id, seq = sent
        response = self.frontend.recv("control", "debug_reply", msg_id).content
        told = {name: response[name] for name in ("type", "request_seq", "command", "success")}
        expected = {"type": "response", "request_seq": seq, "command": command, "success": success}
        assert told == expected, response
        self._pairs[msg_id] = ["busy", "idle"]
        if at_once:
            self.settle()
        return response.get("body", {}) if success else response["message"]

    def settle(self):
        """Receive the states that are still to come."""
        while self._pairs:
            message = self.frontend.recv("iopub")
            assert self._took(message), message

    def interrupt(self):
        """Interrupt what runs; its busy and idle come among what that shows."""
        msg_id = self.frontend.interrupt()
        self.frontend.recv("control", "interrupt_reply", msg_id)
        self._pairs[msg_id] = ["busy", "idle"]

    def skip_to(self, entry, parent):
        """Receive an entry of a request; only events may come before."""
        while self._took(message := self.frontend.recv("iopub")):
            pass
        assert (message.entry, message.parent_id) == (entry, parent), message

    def _took(self, message):
        if message.parent_id in self._pairs:
            states = self._pairs[message.parent_id]
            assert message.entry == ("status", states.pop(0))
            if not states:
                del self._pairs[message.parent_id]
            return True
        if message.type != "debug_event":
            return False
        assert message.parent == {}
        assert message.content["type"] == "event"
        self.events.append((message.content["event"], message.content["body"]))
        return True

    def wait_for(self, event):
        """Receive events up to this one, if it has not come; give its body, and forget all."""
        while event not in [name for name, _ in self.events]:
            message = self.frontend.recv("iopub")
            assert self._took(message), message
        body = next(body for name, body in self.events if name == event)
        self.events.clear()
        return body

    # What a client does.

    def start(self):
        body = self.ask("initialize", **INITIALIZE)
        assert body["supportsConfigurationDoneRequest"]
        self.ask("attach")
        assert self.wait_for("thread") == {"reason": "started", "threadId": 1}
        return self

    def dump(self, code):
        return self.ask("dumpCell", code=code)["sourcePath"]

    def break_at(self, code, *lines, **more):
        """Put breakpoints into a cell; give its file."""
        path = self.dump(code)
        places = [{"line": line} | more for line in lines]
        self.set_breakpoints(path, places)
        return path

    def set_breakpoints(self, path, places):
        body = self.ask("setBreakpoints", source={"path": path}, breakpoints=places)
        assert [place["verified"] for place in body["breakpoints"]] == [True] * len(places)
        return body["breakpoints"]

    def run(self, code):
        """Send a cell that stops."""
        cell = self.frontend.execute(code)
        self.skip_to(("status", "busy"), cell)
        self.skip_to(("input", code), cell)
        return cell

    def cell(self, code, status="ok"):
        """Run a cell that does not stop; give what it showed."""
        return self.finish(self.run(code), status, goes_on=False)[0]

    def stopped(self, reason="breakpoint"):
        """Receive the stop of the main thread; give the frames of its stack."""
        body = self.wait_for("stopped")
        assert (body["reason"], body["threadId"]) == (reason, 1), body
        return self.frames()

    def frames(self):
        return self.ask("stackTrace", threadId=1)["stackFrames"]

    def where(self):
        return [(frame["name"], frame["line"]) for frame in self.frames()]

    def scope(self, frame, name):
        scopes = self.ask("scopes", frameId=frame["id"])["scopes"]
        reference = next(s["variablesReference"] for s in scopes if s["name"] == name)
        variables = self.ask("variables", variablesReference=reference)["variables"]
        return {variable["name"]: variable for variable in variables}

    def go(self, how="continue"):
        self.recv(self.send(how, threadId=1), how, at_once=False)

    def finish(self, cell, status="ok", *, goes_on=True):
        """Receive the rest of a cell, and that it went on; give what it showed, and the reply."""
        shown = []
        while (message := self.frontend.recv("iopub")).entry != ("status", "idle") or (
            message.parent_id != cell
        ):
            if not self._took(message):
                assert message.parent_id == cell, message
                shown.append(message.entry)
        self.settle()
        reply = self.frontend.recv_reply(cell, status)
        if goes_on:
            self.wait_for("continued")
        return merged(shown), reply

    def end(self):
        self.ask("disconnect", restart=False, terminateDebuggee=True)
        self.events.clear()
