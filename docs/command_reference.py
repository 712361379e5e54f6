"""Writes docs/command-reference.md from the commands themselves: nox -s command_reference. A test compares the two."""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from twilio_oauth_async.cli.commands import COMMANDS, commands

PATH = Path(__file__).with_name("command-reference.md")


def reference() -> str:
    """Return the page."""
    context = click.Context(commands, info_name="twilio-oauth")
    parts = [
        "# Reference of the command twilio-oauth\n",
        "This page is made from the commands themselves. [The command](command.md) explains how to use them.\n",
        inspect.cleandoc(commands.help or "") + "\n",
    ]
    for name in COMMANDS:
        command = commands.get_command(context, name)
        assert command is not None
        parts.append(_section(name, command, click.Context(command, info_name=name, parent=context)))
    return "\n".join(parts)


def _section(name: str, command: click.Command, context: click.Context) -> str:
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"## `twilio-oauth {name}`\n", f"```text\ntwilio-oauth {name} {usage}\n```\n", _text(command.help or "")]
    options = [option for option in command.params if isinstance(option, click.Option)]
    if options:
        lines += ["| option | meaning |", "|---|---|", *(_row(option, context) for option in options), ""]
    return "\n".join(lines)


def _text(help_: str) -> str:
    r"""Return a help text as Markdown: paragraphs, and examples, which click marks with \b."""
    paragraphs: list[str] = []
    for paragraph in inspect.cleandoc(help_).split("\n\n"):
        if paragraph.startswith("\b\n"):
            paragraphs.append(f"```sh\n{paragraph.removeprefix(chr(8)).strip()}\n```")
        else:
            paragraphs.append(" ".join(paragraph.split()))
    return "\n\n".join(paragraphs) + "\n"


def _row(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    assert record is not None
    name, text = record
    return f"| `{name}` | {' '.join(text.split())} |".replace("[default: (", "[default: ").replace(")]", "]")


if __name__ == "__main__":
    PATH.write_text(reference(), encoding="utf-8")
