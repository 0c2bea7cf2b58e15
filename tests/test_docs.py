"""The documentation holds together: links lead somewhere, and what can be set is on some page."""

from __future__ import annotations

import argparse
import re
from importlib.resources import files
from itertools import count
from pathlib import Path

import pytest
from bulkhead_kernel.kernelspec import arguments
from bulkhead_kernel.supervisor import options

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
START = DOCS / "README.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]

FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^()\s]+)\)|\b(?:href|src|srcset)=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ (.*?) *$", re.MULTILINE)
LABEL = re.compile(r"\[([^][]*)\]\([^()]*\)")
ELSEWHERE = re.compile(r"[a-z]+:")

UNSET = {"--connection-file", "--restart-in-place"}
"""Options of the kernel that no environment sets."""


def text(page):
    """Give a page without its blocks of code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page):
    """Give what a page refers to, but for the Web."""
    found = ("".join(match.groups("")) for match in LINK.finditer(CODE.sub("", text(page))))
    return [link for link in found if not ELSEWHERE.match(link)]


def target(page, link):
    """Give the file, and the anchor in it, to which a link leads."""
    path, _, anchor = link.partition("#")
    return ((page.parent / path).resolve() if path else page), anchor


def anchors(page):
    """Give the anchors of a page's headings, as GitHub makes them."""
    given = set()
    for heading in HEADING.findall(text(page)):
        words = LABEL.sub(r"\1", heading).lower()
        plain = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        names = (f"{plain}-{number}" if number else plain for number in count())
        given.add(next(name for name in names if name not in given))
    return given


def leads_nowhere(page, link):
    """Tell what is wrong with a link; '' if nothing is."""
    path, anchor = target(page, link)
    if link.startswith("/") or not path.is_relative_to(ROOT):
        return "it leaves the repository"
    if not path.exists():
        return "there is no such file"
    if anchor and anchor not in anchors(path):
        return "there is no such heading"
    return ""


def reachable(start):
    """Give the pages to which links lead, over any number of pages."""
    found, new = {start}, [start]
    while new:
        page = new.pop()
        linked = {target(page, link)[0] for link in links(page)} & set(PAGES)
        new += linked - found
        found |= linked
    return found


def is_named(name, page):
    """Tell if a page has this name, and not only as the beginning of a longer one."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", page) is not None


@pytest.fixture
def commands(monkeypatch):
    """Give the parsers of the command line: of ``bulkhead`` itself, and of each command."""
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", lambda self, _: self)
    parser = arguments.parse([])
    of_commands = next(
        action.choices
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return {"": parser, **of_commands}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_picture_is_there(page):
    """A link that leads nowhere is worse than none; so is an anchor that was renamed."""
    assert {link: why for link in links(page) if (why := leads_nowhere(page, link))} == {}


def test_the_index_leads_to_every_page():
    """Who begins at docs/README.md can find all there is."""
    assert sorted({*PAGES} - reachable(START)) == []


def test_every_page_is_in_the_index_itself():
    """One look at docs/README.md shows what there is to read."""
    listed = {target(START, link)[0] for link in links(START)}
    assert sorted({*DOCS.glob("*.md")} - listed - {START}) == []


def test_every_picture_is_shown():
    """A picture that no page shows is forgotten when it changes."""
    shown = {target(page, link)[0] for page in PAGES for link in links(page)}
    assert sorted({*DOCS.glob("images/*")} - shown) == []


def test_every_option_of_the_kernel_is_explained():
    """Whatever may stand in argv stands in docs/options.md."""
    page = (DOCS / "options.md").read_text(encoding="utf-8")
    names = {*options._NAMES, *options._ALIASES} - {"--IPKernelApp.connection_file"}
    assert len(names) > 10
    assert sorted(name for name in names if not is_named(name, page)) == []


def test_every_environment_variable_is_explained():
    """Those that options have, and those that the code reads by name."""
    named = {
        variable
        for package in ("supervisor", "worker", "worker.recovery", "shared", "kernelspec")
        for path in files(f"bulkhead_kernel.{package}").iterdir()
        if path.name.endswith(".py")
        for variable in re.findall(r"\bBULKHEAD_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))
    }
    of_options = {
        "BULKHEAD_" + name.strip("-").replace("-", "_").upper()
        for name in {*options._NAMES} - UNSET
    }
    assert "BULKHEAD_CRASH_LOG" in named
    page = (DOCS / "options.md").read_text(encoding="utf-8")
    assert sorted(name for name in named | of_options if not is_named(name, page)) == []


def test_every_flag_of_the_command_line_is_explained(commands):
    """Each flag of each command, and each command."""
    page = (DOCS / "options.md").read_text(encoding="utf-8")
    page = page[page.index("## The command `bulkhead`") :]
    flags = {
        f"{command} {flag}".strip()
        for command, parser in commands.items()
        for action in parser._actions
        for flag in action.option_strings
        if flag not in ("-h", "--help") or not command
    }
    assert {"--version", "install --user", "uninstall -y", "top --json"} < flags
    missing = {flag for flag in flags if not is_named(flag.rpartition(" ")[2], page)}
    assert sorted(missing) == []
    assert sorted(name for name in commands if name and not is_named(name, page)) == []


def test_every_key_of_the_kernelspec_is_explained():
    """What is in kernel.json, and what `bulkhead install` adds to it."""
    page = (DOCS / "options.md").read_text(encoding="utf-8")
    spec = arguments.specs.build("python", env={"A": "B"}, provisioner=True)
    keys = {f"metadata.{key}" for key in spec.pop("metadata")} | {*spec}
    assert {"env", "metadata.kernel_provisioner"} < keys
    assert sorted(key for key in keys if f"`{key}`" not in page) == []
