"""`twilio-oauth emulator`: a command that it runs, an environment file, a seed, HTTPS, all options of `Emulator`."""

import inspect
import json
import os
import shutil
import signal
import ssl
import sys
import time
import urllib.request
from pathlib import Path

import click
import pytest

from tests.cli.test_emulator_command import call, serve, stop
from tests.helpers.command import error_lines, start
from tests.helpers.tls import make
from twilio_oauth_async.cli.emulator import CONTROL_TOKEN_VARIABLE, emulator
from twilio_oauth_async.emulator import Emulator

NAMES = {
    "TWILIO_OAUTH_URL",
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "TWILIO_CLIENT_ID",
    "TWILIO_CLIENT_SECRET",
    "TWILIO_OAUTH_CONTROL_URL",
    "TWILIO_OAUTH_CONTROL_TOKEN",
}
REPORT = "import json, os, sys; print(json.dumps(dict(os.environ))); "


def run(*command):
    """Run the emulator with a command; return the exit code, the output and the errors."""
    with start("emulator", "--", *command) as process:
        out, err = process.communicate(timeout=30)
    return process.returncode, out, error_lines(err)


def test_command_has_the_credentials_in_its_environment_and_its_exit_code_is_returned():
    program = (
        REPORT + "import urllib.request as u; u.urlopen(os.environ['TWILIO_OAUTH_URL'] + '/assets/pages.css'); exit(7)"
    )
    code, out, err = run(sys.executable, "-c", program)
    assert (code, err) == (7, [])
    environment = json.loads(out)  # the output is that of the command alone
    assert environment.keys() >= NAMES
    assert environment["TWILIO_OAUTH_CONTROL_URL"] == environment["TWILIO_OAUTH_URL"] + "/_control/"


def test_options_of_the_command_are_not_those_of_the_emulator():
    code, out, _ = run(sys.executable, "-c", "import sys; print(sys.argv[1:])", "--port", "--help", "-x")
    assert (code, out) == (0, "['--port', '--help', '-x']\n")


def test_command_that_was_killed_has_the_exit_code_of_a_shell():
    assert run(sys.executable, "-c", "import os; os.kill(os.getpid(), 9)") == (137, "", [])


def test_command_that_cannot_be_run_is_reported(tmp_path):
    assert run("no-such-command") == (127, "", ["Error: The command no-such-command was not found."])
    assert run(str(tmp_path)) == (126, "", [f"Error: The command {tmp_path} cannot be run: Permission denied."])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_requests_in_the_documentation_work(tmp_path):
    documentation = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text()
    script = documentation.partition("## Control over HTTP")[2].partition("```sh\n")[2].partition("```")[0]
    path = tmp_path / "script"
    path.write_text(f"cd {tmp_path}\n{script}")
    code, out, err = run("sh", "-eu", str(path))
    assert (code, err) == (0, [])
    responses = [json.loads(part) for part in out.replace("}{", "}\n{").splitlines()]
    assert responses[0] == {}
    assert responses[1]["policy"]["access_token_lifetime"] == 60
    assert responses[2]["fault"] == "on('refresh').times(2).respond(503)"
    assert (responses[3], responses[4]["polled_faster"]) == ({"expired": 0}, False)
    assert [request["status"] for request in responses[5]["requests"]] == [201]
    assert responses[6] == {}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 3), (signal.SIGHUP, 3), (signal.SIGINT, 4)])
def test_signals_reach_the_command_and_the_emulator_waits_for_it(number, code):
    program = (
        "import os, signal, sys, time\n"
        "def leave(number, frame): sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, leave); signal.signal(signal.SIGHUP, leave)\n"
        "print(os.getpid(), flush=True)\n"
        "sys.exit(4 if sys.stdin.read() == '' and time.sleep(0.3) is None else 5)\n"
    )
    with start("emulator", "--", sys.executable, "-c", program) as process:
        process.stdout.readline()
        # Ctrl-C is sent to both by a terminal. Here only the emulator gets it, and it goes on.
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, error_lines(err)) == (code, [])


def test_environment_file_is_complete_private_and_deleted_at_the_end(tmp_path):
    path = tmp_path / "emulator.env"
    with start("emulator", "--env-file", str(path), "--client-secret", "two words") as process:
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.01)
        assert path.stat().st_mode & 0o777 == 0o600
        lines = dict(line.split("=", 1) for line in path.read_text().splitlines())
        assert lines.keys() == NAMES
        assert lines["TWILIO_CLIENT_SECRET"] == "'two words'"
        token = lines["TWILIO_OAUTH_CONTROL_TOKEN"]
        assert call(lines["TWILIO_OAUTH_CONTROL_URL"], token)[1]["client_secret"] == "two words"
        assert stop(process, signal.SIGTERM)[1] == 0
    assert list(tmp_path.iterdir()) == []


def test_seed_and_options_that_win_against_it(tmp_path):
    seed = tmp_path / "seed.toml"
    seed.write_text(
        '[policy]\ninterval = 2\nexpires_in = 100\n[[apps]]\nname = "Of the seed"\nsid = "OQ1"\n'
        '[[users]]\nfirst_name = "Grace"\nlast_name = "Example"\nemail = "g@example.com"\n'
    )
    with serve("--seed", str(seed), "--expires-in", "60") as (process, ready):
        assert ready["client_sid"] == "OQ1"
        state = call(ready["control_url"], ready["control_token"])[1]
        assert (state["policy"]["interval"], state["policy"]["expires_in"]) == (2, 60)
        assert [user["first_name"] for user in state["users"]] == ["Grace"]
        stop(process, signal.SIGTERM)
    with start("emulator", "--seed", str(seed), "--app-name", "Other") as process:
        err = process.communicate(timeout=30)[1]
    assert (process.returncode, "the seed has apps: describe the app there" in err) == (2, True)


@pytest.mark.parametrize(
    ("content", "problem"),
    [("apps = 1", "apps must be a list."), ("apps = x", "line 1"), ("[[users]]\n", "users[0] needs first_name")],
)
def test_mistake_in_a_seed_is_reported(tmp_path, content, problem):
    seed = tmp_path / "seed.toml"
    seed.write_text(content)
    with start("emulator", "--seed", str(seed)) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert problem in err
    assert "Traceback" not in err


@pytest.mark.parametrize("key_is_given", [True, False])
def test_given_certificate_is_served(tmp_path, key_is_given):
    tls = make(tmp_path)
    key = ("--key", str(tls.certificate)) if key_is_given else ()
    with serve("--certificate", str(tls.certificate), *key) as (process, ready):
        context = ssl.create_default_context(cafile=str(tls.ca))
        url = ready["base_url"] + "/assets/pages.css"
        assert url.startswith("https://127.0.0.1:")
        with urllib.request.urlopen(url, context=context) as response:
            assert response.status == 200
        stop(process, signal.SIGTERM)


def test_each_argument_of_the_emulator_is_an_option_of_the_command():
    options = {parameter.name for parameter in emulator.params if isinstance(parameter, click.Option)}
    arguments = set(inspect.signature(Emulator.__init__).parameters) - {"self"}
    other_names = {"clock": "virtual_clock", "ssl_context": "certificate", "seed": "random_seed"}
    assert {other_names.get(name, name) for name in arguments} <= options
    arguments -= {*other_names, "control_token"}
    given = emulator.make_context("emulator", []).params
    signature = inspect.signature(Emulator.__init__).parameters
    assert {name: given[name] or None for name in arguments} == {
        name: signature[name].default or None for name in arguments
    }


def test_all_options_reach_the_emulator():
    options = ["--account-sid", "AC1", "--auth-token", "a", "--client-id", "OQ1", "--public", "--app-name", "Mine"]
    options += ["--issuer", "https://iss.example", "--access-token-lifetime", "7", "--refresh-token-lifetime", "8"]
    options += ["--keep-refresh-tokens", "--pkce-optional", "--device-secret-required", "--device-grant-type", "d"]
    with serve(*options, "--signing-algorithm", "RS256", "--journal-size", "1") as (process, ready):
        assert (ready["account_sid"], ready["auth_token"]) == ("AC1", "a")
        assert (ready["client_sid"], ready["client_secret"]) == ("OQ1", None)
        state = call(ready["control_url"], ready["control_token"])[1]
        assert state["issuer"] == "https://iss.example"
        expected = {
            "access_token_lifetime": 7,
            "refresh_token_lifetime": 8,
            "rotate_refresh_tokens": False,
            "pkce_required": False,
            "device_secret_required": True,
            "device_grant_type": "d",
        }
        assert state["policy"].items() >= expected.items()
        for _ in range(2):
            call(ready["base_url"] + "/nowhere")
        assert call(ready["control_url"] + "requests", ready["control_token"])[1]["forgotten"] == 1
        stop(process, signal.SIGTERM)


def test_control_token_is_read_from_the_environment_and_not_shown_in_the_help(capsys):
    from twilio_oauth_async.cli import main

    os.environ[CONTROL_TOKEN_VARIABLE] = "canary-token"
    try:
        assert main(["emulator", "--help"]) == 0
    finally:
        del os.environ[CONTROL_TOKEN_VARIABLE]
    assert "canary" not in capsys.readouterr().out
