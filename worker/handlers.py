"""What the worker answers to each kind of request.

A handler takes the request and gives the content of the reply. ``Failed`` carries the content of a
reply with status 'error'. What a handler raises besides is a fault in the request or in the user's
code that it called; the loop tells it as an error reply.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.async_helpers import _asyncio_runner
from IPython.core.completer import provisionalcompleter, rectify_completions
from IPython.utils.tokenutil import token_at_cursor

from .here import here
from .stacks import fragile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from IPython.core.interactiveshell import ExecutionResult

    from .context import Request
    from .shell import ZMQInteractiveShell

T = TypeVar("T")


def field(request: Request, name: str, kind: type[T], default: T) -> T:
    """Read a field of the content; null and absence give the default. Raises ValueError."""
    value = request.content.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(
            f"{request.msg_type}: {name} must be of type {kind.__name__}, not {value!r:.40}"
        )
    return value


class Handlers:
    """The requests that need the interpreter, comms apart."""

    def __init__(self, shell: ZMQInteractiveShell) -> None:
        self._shell = shell
        self._completing = threading.Lock()  # IPython's completer does one thing at a time

    def handlers(self) -> dict[str, Callable[[Request], Awaitable[dict[str, Any]]]]:
        """Give the handler of each message type."""
        return {
            "execute_request": self.execute,
            "complete_request": self.complete,
            "inspect_request": self.inspect,
            "is_complete_request": self.is_complete,
            "history_request": self.history,
        }

    async def execute(self, request: Request) -> dict[str, Any]:
        """Run a cell ("Execute" in the messaging documentation)."""
        shell = self._shell
        code = field(request, "code", str, "")
        silent = field(request, "silent", bool, default=False)
        store_history = field(request, "store_history", bool, not silent) and not silent
        expressions = field(request, "user_expressions", dict, {})
        here.can_ask = field(request, "allow_stdin", bool, default=False)
        here.display_failed = here.showing = False
        count = shell.execution_count
        if silent:
            shell.publisher.release()
        else:
            shell.publisher.show_code(code, count)
        result = await self._run(request, code, silent=silent, store_history=store_history)
        error = shell.as_interrupt(result.error_before_exec or result.error_in_exec)
        content: dict[str, Any] = {"status": "ok"}
        if error is not None or here.display_failed:
            content = {"status": "error", **(here.last_error or describe(error))}
        content["execution_count"] = count
        content["user_expressions"] = (
            shell.user_expressions(expressions) if content["status"] == "ok" else {}
        )
        content["payload"] = shell.payload_manager.read_payload()
        shell.payload_manager.clear_payload()
        return content

    async def _run(
        self, request: Request, code: str, *, silent: bool, store_history: bool
    ) -> ExecutionResult:
        """Run code in the loop that always runs here, awaiting it if it awaits something."""
        shell = self._shell
        failure = None
        try:
            transformed = shell.transform_cell(code)
        except Exception:  # noqa: BLE001 - IPython shows it as the cell's error
            transformed, failure = code, sys.exc_info()
        options = {
            "store_history": store_history,
            "silent": silent,
            "cell_id": request.metadata.get("cellId"),
        }
        if shell.loop_runner is not _asyncio_runner:
            if not shell.should_run_async(
                code, transformed_cell=transformed, preprocessing_exc_tuple=failure
            ):
                return shell.run_cell(code, **options)
            with shell.interrupts.default_handler():
                return shell.run_cell(code, **options)
        # Code that awaits nothing is run here, too: ``run_cell`` would transform it once more, and
        # compile it to find out.
        result = None
        try:
            result = await shell.run_cell_async(
                code, transformed_cell=transformed, preprocessing_exc_tuple=failure, **options
            )
        finally:
            shell.events.trigger("post_execute")
            if not silent:
                shell.events.trigger("post_run_cell", result)
        return result

    async def complete(self, request: Request) -> dict[str, Any]:
        """Complete at a cursor, which is counted in code points ("Completion")."""
        code = field(request, "code", str, "")
        cursor = _cursor(request, code)
        with self._completing, provisionalcompleter():
            found = list(rectify_completions(code, self._shell.Completer.completions(code, cursor)))
        types = [
            {
                "start": one.start, "end": one.end, "text": one.text,
                "type": one.type, "signature": one.signature,
            }
            for one in found
        ]  # fmt: skip
        return {
            "status": "ok",
            "matches": [one.text for one in found],
            "cursor_start": found[0].start if found else cursor,
            "cursor_end": found[0].end if found else cursor,
            "metadata": {"_jupyter_types_experimental": types},
        }

    async def inspect(self, request: Request) -> dict[str, Any]:
        """Describe the name at a cursor ("Introspection")."""
        shell = self._shell
        code = field(request, "code", str, "")
        name = token_at_cursor(code, _cursor(request, code))
        level = field(request, "detail_level", int, 0)
        try:
            data = shell.object_inspect_mime(name, detail_level=level)
        except KeyError:
            return {"status": "ok", "found": False, "data": {}, "metadata": {}}
        if not shell.enable_html_pager:
            data.pop("text/html", None)
        return {"status": "ok", "found": True, "data": data, "metadata": {}}

    async def is_complete(self, request: Request) -> dict[str, Any]:
        """Tell whether code can be run as it is ("Code completeness")."""
        code = field(request, "code", str, "")
        status, indent = self._shell.input_transformer_manager.check_complete(code)
        return {"status": status} | ({"indent": " " * indent} if status == "incomplete" else {})

    async def history(self, request: Request) -> dict[str, Any]:
        """Give lines that were entered ("History")."""
        manager = self._shell.history_manager
        raw = field(request, "raw", bool, default=True)
        output = field(request, "output", bool, default=False)
        access = field(request, "hist_access_type", str, "tail")
        count = request.content.get("n")
        if access == "tail":
            lines = manager.get_tail(count, raw=raw, output=output, include_latest=True)
        elif access == "range":
            session = field(request, "session", int, 0)
            found = manager.get_range(
                session,
                field(request, "start", int, 0),
                request.content.get("stop"),
                raw=raw,
                output=output,
            )
            # IPython calls the present session 0, also if it was asked for by its number.
            lines = ((max(session, 0) or number, *rest) for number, *rest in found)
        elif access == "search":
            lines = manager.search(
                field(request, "pattern", str, "*"), raw=raw, output=output, n=count,
                unique=field(request, "unique", bool, default=False),
            )  # fmt: skip
        else:
            raise ValueError(f"history_request: no hist_access_type is called {access!r}")
        return {"status": "ok", "history": [list(line) for line in lines]}


# An exception between making one of these coroutines and awaiting it would leave it to the garbage
# collector, which complains in a later cell; run_code raises what was remembered.
for _caller in (Handlers.execute, Handlers._run):  # noqa: SLF001
    fragile(_caller)


def describe(error: BaseException | None) -> dict[str, Any]:
    """Give the fields of an error whose traceback nobody made."""
    return {"ename": type(error).__name__, "evalue": str(error), "traceback": []}


def _cursor(request: Request, code: str) -> int:
    return min(max(0, field(request, "cursor_pos", int, len(code))), len(code))
