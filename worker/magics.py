"""The magics that a kernel adds to IPython's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magics import CodeMagics, MacroToEdit
from IPython.display import Javascript, display

if TYPE_CHECKING:
    from typing import Any


@magics_class
class KernelMagics(Magics):  # type: ignore[misc]
    """What makes sense in a kernel only."""

    @line_magic  # type: ignore[untyped-decorator]
    def edit(self, parameter_s: str = "", last_call: list[str] | None = None) -> None:
        """Open code or a file in the client's editor.

        ``%edit``, ``%edit FILE``, ``%edit NAME``, ``%edit -n LINE FILE``. The client gets the name
        of the file; not every client has an editor to open it with.
        """
        options, arguments = self.parse_options(parameter_s, "prn:")
        try:
            filename, line, _ = CodeMagics._find_edit_target(  # noqa: SLF001 - as ipykernel does
                self.shell, arguments, options, last_call or ["", ""]
            )
        except (MacroToEdit, TypeError):
            raise UsageError("%edit knows files, names with source code, and history") from None
        payload: dict[str, Any] = {
            "source": "edit_magic",
            "filename": str(Path(filename).absolute()),
            "line_number": int(options.get("n", line or 0)),
        }
        self.shell.payload_manager.write_payload(payload)

    @line_magic  # type: ignore[untyped-decorator]
    def ed(self, parameter_s: str = "") -> None:
        """Do what %edit does."""
        self.edit(parameter_s)

    @line_magic  # type: ignore[untyped-decorator]
    def clear(self, _: str) -> None:
        """Clear the screen: the client's, by its escape sequence."""
        print("\033[2J\033[1;1H", end="")  # noqa: T201

    @line_magic  # type: ignore[untyped-decorator]
    def less(self, parameter_s: str) -> None:
        """Show a file in the client's pager."""
        if not parameter_s:
            raise UsageError("Missing filename.")
        path = Path(parameter_s.strip().strip("'\"")).expanduser()
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise UsageError(f"Cannot read {path}: {error.strerror}") from None
        if path.suffix == ".py":
            text = self.shell.pycolorize(text)
        self.shell._page(text)  # noqa: SLF001 - our own shell

    @line_magic  # type: ignore[untyped-decorator]
    def more(self, parameter_s: str) -> None:
        """Show a file in the client's pager."""
        self.less(parameter_s)

    @line_magic  # type: ignore[untyped-decorator]
    def man(self, parameter_s: str) -> None:
        """Show a manual page in the client's pager."""
        lines = self.shell.getoutput(f"man {parameter_s} | col -b", split=False)
        self.shell._page(str(lines))  # noqa: SLF001

    @line_magic  # type: ignore[untyped-decorator]
    def connect_info(self, _: str) -> None:
        """Print the path of the connection file, and how another client connects to this kernel."""
        path = self.shell.kernel.connection_file
        print(path)  # noqa: T201
        print(  # noqa: T201
            f"\nAnother client connects with:\n\n    jupyter console --existing {Path(path).name}\n"
        )

    @line_magic  # type: ignore[untyped-decorator]
    def autosave(self, arg_s: str) -> None:
        """Set how often (in seconds) the classic notebook saves; 0 turns it off."""
        try:
            interval = int(arg_s)
        except ValueError:
            raise UsageError(f"%autosave requires an integer, got {arg_s!r}") from None
        display(
            Javascript(f"IPython.notebook.set_autosave_interval({1000 * interval})"),
            include=["application/javascript"],
        )
        print(f"Autosaving every {interval} seconds" if interval else "Autosave disabled")  # noqa: T201
