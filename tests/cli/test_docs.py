"""The pages on the command line say what the program says."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import click

from storage.cli import _app, _run

DOCS = Path(__file__).parents[2] / "docs"


def generator():
    spec = importlib.util.spec_from_file_location("generate_cli", DOCS / "generate_cli.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_that_of_the_program():
    """docs/cli.md is what docs/generate_cli.py writes: run it after a change of the program."""
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert page == generator().render()
    assert re.findall(r"^## storage (\S+)$", page, re.MULTILINE) == sorted(_app.app.commands)


def test_commands_in_the_pages_exist():
    """Each command line that a page shows can be parsed: its command, its options and the number of its words."""
    assert _run.COMMANDS
    found = 0
    for page in sorted(DOCS.glob("*.md")):
        for line in re.findall(r"^\$ storage (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            found += 1
            _parse(line.partition("  #")[0].partition("&&")[0].partition("|")[0], page)
    assert found > 40


def _parse(line, page):
    words = shlex.split(line.partition(">")[0])
    if words[0] in ("COMMAND", "[OPTIONS]") or "[OPTIONS]" in words or words[0] == "--debug":
        return
    command = _app.app.commands.get(words[0])
    assert command is not None, f"{page.name}: {line}"
    root = click.Context(_app.app, info_name="storage", **_app.app.context_settings)
    command.make_context(words[0], words[1:], parent=root).close()
