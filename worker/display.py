"""IPython's display publisher and display hook, sending records."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from traitlets import Any as AnyTrait

from .here import here
from .stacks import protected

if TYPE_CHECKING:
    from .publisher import Publisher


# IPython's own callbacks are not the user's code: an interrupt in one is told as its failure.
for _name in ("_on_pre_execute", "_on_post_execute"):
    if (_callback := getattr(DisplayPublisher, _name, None)) is not None:
        protected(_callback)


class WorkerDisplayPublisher(DisplayPublisher):  # type: ignore[misc]
    """``display()``, ``update_display()`` and ``clear_output()``."""

    publisher: Publisher = AnyTrait()

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: object = None,  # noqa: ARG002 - deprecated, still passed by some
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        """Publish a MIME bundle. In a forked child its plain text goes to the captured stdout."""
        if not self.publisher.is_ours():
            print(data.get("text/plain", ""), file=sys.stdout)  # noqa: T201 - this is display()
            return
        msg_type = "update_display_data" if update else "display_data"
        content = {"data": data, "metadata": metadata or {}, "transient": transient or {}}
        self.publisher.publish(msg_type, content)

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's
        """Clear the output of the cell, at once or with the next output."""
        self.publisher.publish("clear_output", {"wait": wait})


class WorkerDisplayHook(DisplayHook):  # type: ignore[misc]
    """The value of a cell's last expression."""

    publisher: Publisher = AnyTrait()

    @property
    def exec_result(self) -> Any:
        """IPython's object for the result of the calling thread's cell."""
        return here.execution_result

    @exec_result.setter
    def exec_result(self, result: Any) -> None:
        here.execution_result = result

    def quiet(self) -> bool:
        """Tell whether the calling thread's cell ends with a semicolon."""
        return bool(self.semicolon_at_end_of_expression(here.source))

    def start_displayhook(self) -> None:
        """Begin a result."""
        here.showing = True
        here.result = {}

    def write_output_prompt(self) -> None:
        """Take the number of the result."""
        here.result = {"execution_count": self.prompt_count}

    def write_format_data(
        self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None
    ) -> None:
        """Take the MIME bundle of the result."""
        here.result = (here.result or {}) | {"data": format_dict, "metadata": md_dict or {}}

    def finish_displayhook(self) -> None:
        """Publish the result, unless the object displayed itself."""
        content, here.result = here.result, None
        here.showing = False
        if content and content.get("data"):
            self.publisher.publish("execute_result", content)
