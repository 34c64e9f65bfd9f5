"""Writes docs/cli.md from the program itself: python docs/generate_cli.py. A test compares the two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from storage.cli import _app, _run

PAGE = Path(__file__).parent / "cli.md"

HEAD = """\
# Every command

<!-- Written by docs/generate_cli.py from the program itself: change the program, and run it again. -->

"""


def render() -> str:
    """The page: the program, and a section for each command."""
    root = click.Context(_app.app, info_name="storage", **_app.app.context_settings)
    parts = [HEAD, _paragraphs(_app.app.help or ""), "\n", _options(_app.app, root)]
    for name in sorted(_app.app.commands):
        command = _app.app.commands[name]
        context = click.Context(command, info_name=name, parent=root)
        usage = command.get_usage(context).removeprefix("Usage: ")
        parts += [
            f"\n## storage {name}\n\n",
            f"```console\n$ {' '.join(usage.split())}\n```\n\n",
            _paragraphs(command.help or ""),
            "\n",
            _options(command, context),
        ]
        examples = getattr(command, "examples", ())
        if examples:
            lines = "\n".join(f"$ {example}" for example in examples)
            parts.append(f"\n```console\n{lines}\n```\n")
    return "".join(parts)


def _paragraphs(text: str) -> str:
    paragraphs = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    return "\n\n".join(_escaped(part) for part in paragraphs) + "\n"


def _options(command: click.Command, context: click.Context) -> str:
    rows = [
        record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)) is not None
    ]
    return "| option | |\n| --- | --- |\n" + "".join(
        f"| `{_cell(names)}` | {_cell(_escaped(text))} |\n" for names, text in rows
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _escaped(text: Any) -> str:
    """Text in which Markdown finds nothing: stars, tags, links and dashes are meant as they stand."""
    for char in "\\`*_<>[]$":
        text = text.replace(char, f"\\{char}")
    return str(text).replace("--", "\\-\\-")


if __name__ == "__main__":
    if not _run.COMMANDS:
        raise SystemExit("the program has no commands")
    PAGE.write_text(render(), encoding="utf-8")
