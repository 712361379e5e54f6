"""The pages about the command: the reference is that of the commands, and the tables have all settings and codes."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

from twilio_oauth_async.cli import exit_codes
from twilio_oauth_async.cli.settings import NAMES, resolve

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "command.md").read_text("utf-8")


def test_reference_is_that_of_the_commands() -> None:
    spec = importlib.util.spec_from_file_location("command_reference", DOCS / "command_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PATH.read_text("utf-8") == module.reference(), "run: nox -s command_reference"


def test_page_lists_each_setting_and_variable() -> None:
    table = PAGE.partition("| setting | variable |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines()[2:]]
    documented: dict[str, str | None] = {}
    for names, variables in rows:
        found = re.findall(r"`(\w+)`", variables)
        for number, name in enumerate(re.findall(r"`(\w+)`", names)):
            documented[name] = found[number] if found else None
    assert documented == {name: about.variable for name, about in NAMES.items()}


def test_page_lists_each_exit_code() -> None:
    table = PAGE.partition("| exit code |")[2]
    cells = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    documented = {int(code) for cell in cells for code in cell.split(",")}
    assert documented == {
        value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)
    }


def test_configuration_of_the_page_is_valid() -> None:
    [block] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    for name, members in tomllib.loads(block)["profiles"].items():
        assert resolve(profile=name, flags={}, environ={}, file=members, path="p").get("client_id") == "OQ..."
