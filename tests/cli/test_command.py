"""The command line: arguments, output and exit code."""

import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.helpers.command import hide_modules
from twilio_oauth_async.cli import main

PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["demo", "--approve-after", "-1"], "'-1' is not zero or a positive number of seconds"),
        (["demo", "--approve-after", "nan"], "'nan' is not zero or a positive number"),
        (["demo", "--deny-after", "inf"], "'inf' is not zero or a positive number"),
        (["demo", "--approve-after", "soon"], "'soon' is not a number of seconds"),
        (["demo", "--approve-after"], "requires an argument"),
        (["demo", "--approve-after", "1", "--deny-after", "1"], "cannot be used together"),
        (["demo", "--port", "65536"], "65536 is not in the range"),
        (["demo", "--expires-in", "0"], "0 is not in the range"),
        (["demo", "now"], "unexpected extra argument"),
        (["dmeo"], "No such command 'dmeo'. Did you mean demo?"),
        (["xyzzy"], "No such command 'xyzzy'."),
        (["--verbose"], "No such option"),
        ([], "Usage: twilio-oauth"),
    ],
)
def test_wrong_usage_prints_a_message_and_exits_with_2(args, message, capsys):
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""


def test_demo_with_a_port_in_use_exits_with_2(capsys):
    with socket.create_server(("127.0.0.1", 0)) as in_use:
        assert main(["demo", "--port", str(in_use.getsockname()[1])]) == 2
    assert "Cannot listen on the port given by --port: Address already in use" in capsys.readouterr().err


def test_version_option_prints_the_version_of_pyproject(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"twilio-oauth {PYPROJECT['project']['version']}\n"


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_demo_help_lists_every_option_and_exit_code(flag, capsys):
    assert main([flag]) == 0
    assert "demo" in capsys.readouterr().out
    assert main(["demo", flag]) == 0
    out = capsys.readouterr().out
    assert re.search(r"0 signed in, 1 denied, expired or failed, 2 wrong usage, 130\s", out)
    for option in ("--approve-after SECONDS", "--deny-after SECONDS", "--expires-in SECONDS", "--port PORT"):
        assert option in out


def test_ctrl_c_exits_with_130_not_1(monkeypatch, capsys):
    def interrupt(program):
        program.close()
        raise KeyboardInterrupt

    monkeypatch.setattr("asyncio.run", interrupt)
    assert main(["demo"]) == 130
    assert capsys.readouterr().err.split() == ["Stopped."]


@pytest.mark.parametrize("package", ["click", "jinja2", "joserfc"])
def test_missing_package_is_reported_with_the_extra_to_install(package, monkeypatch, capsys):
    hide_modules(monkeypatch, package)
    assert main(["demo", "--approve-after", "0"]) == 2
    assert capsys.readouterr().err == (
        f"twilio-oauth: missing package {package}: pip install 'twilio-oauth-async[cli]'\n"
    )
    assert "cli" in PYPROJECT["project"]["optional-dependencies"]


def test_missing_rich_is_reported_on_a_terminal(monkeypatch, capsys):
    hide_modules(monkeypatch, "rich", "rich.console")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert main(["demo", "--approve-after", "0"]) == 2
    assert "missing package rich" in capsys.readouterr().err


def test_missing_module_of_the_package_itself_raises(monkeypatch):
    hide_modules(monkeypatch, "twilio_oauth_async.cli.demo")
    with pytest.raises(ModuleNotFoundError, match=r"cli\.demo"):
        main(["demo"])


def test_module_runs_the_command():
    command = [sys.executable, "-m", "twilio_oauth_async"]
    run = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, f"twilio-oauth {PYPROJECT['project']['version']}\n")
    assert subprocess.run([*command, "dmeo"], capture_output=True, check=False).returncode == 2


def test_module_without_the_extra_prints_one_line_that_names_it():
    code = "import runpy, sys; sys.modules['click'] = None; runpy.run_module('twilio_oauth_async', run_name='__main__')"
    run = subprocess.run([sys.executable, "-c", code, "demo"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == "twilio-oauth: missing package click: pip install 'twilio-oauth-async[cli]'\n"


def test_import_of_main_module_runs_nothing():
    run = subprocess.run([sys.executable, "-c", "import twilio_oauth_async.__main__"], capture_output=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
