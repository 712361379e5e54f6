"""`twilio-oauth emulator`: its output, its usage errors, and how it stops."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from tests.helpers.command import error_lines, hide_modules, start
from twilio_oauth_async.cli import main
from twilio_oauth_async.cli.emulator import CONTROL_TOKEN_VARIABLE

TOKEN = "canary-token"
COVERAGE = [name for name in os.environ if name.startswith("COV")]
"""Coverage writes its data when the process ends; that must not be part of the measured time."""
ATTEMPTS = 4
"""A busy machine may delay one attempt for a second, but not each of them."""


@contextlib.contextmanager
def serve(*args, **options):
    """Yield the process and the JSON that it prints when it is ready."""
    with start("emulator", "--json", *args, **options) as process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def stop(process, signal_number):
    """Send a signal; return the seconds until the process ends, its exit code, and its further output and errors."""
    sent = time.monotonic()
    process.send_signal(signal_number)
    out, err = process.communicate(timeout=30)
    return time.monotonic() - sent, process.returncode, out, error_lines(err)


def call(url, token=None, **arguments):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, json.dumps(arguments).encode() if arguments else None, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_output_can_be_sourced_by_a_shell(tmp_path):
    lines = []
    with start("emulator", **{CONTROL_TOKEN_VARIABLE: TOKEN}) as process:
        while not (lines and lines[-1].startswith("export TWILIO_OAUTH_CONTROL_TOKEN")):
            lines.append(process.stdout.readline())
        script = tmp_path / "emulator.env"
        script.write_text("".join(lines))
        names = ["OAUTH_URL", "ACCOUNT_SID", "AUTH_TOKEN", "CLIENT_ID", "CLIENT_SECRET"]
        printed = subprocess.run(
            ["sh", "-euc", f'. "{script}"; printenv ' + " ".join(f"TWILIO_{name}" for name in names)],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        url, *credentials = printed
        state = call(f"{url}/_control/", TOKEN)[1]
        assert credentials == [state[name] for name in ("account_sid", "auth_token", "client_sid", "client_secret")]
        comments = "".join(line for line in lines if line.startswith("# "))
        assert f"{url}/v1/oauth2/device/activate" in comments
        assert f"all codes, users, tokens, faults and requests: {url}/\n" in comments
        assert f"export TWILIO_OAUTH_CONTROL_URL={url}/_control/\n" in lines
        assert f"export TWILIO_OAUTH_CONTROL_TOKEN={TOKEN}\n" in lines
        _, code, out, err = stop(process, signal.SIGTERM)
    assert (code, out, err) == (0, "", [])


def test_options_are_passed_to_the_server():
    args = ["--random-seed", "7", "--errors", "twilio", "--dates", "iso8601", "--interval", "2", "--expires-in", "60"]
    with serve(*args, "--virtual-clock", "--control-token", TOKEN) as (process, ready):
        control = ready["control_url"]
        assert control == ready["base_url"] + "/_control/"
        state = call(control, TOKEN)[1]
        assert (state["policy"]["interval"], state["policy"]["expires_in"]) == (2, 60)
        assert state["clock"]["virtual"] is True
        assert time.strftime("%Y-", time.gmtime()) in state["clock"]["now"]
        assert call(control + "advance", TOKEN, seconds=90)[1]["clock"]["monotonic"] == 90
        assert call(ready["base_url"] + "/nowhere")[1]["code"] == 20404
        assert call(control)[0] == 401
        assert stop(process, signal.SIGTERM)[1:] == (0, "", [])
    names = ("account_sid", "auth_token", "client_sid", "client_secret")
    with serve("--random-seed", "7", without=[CONTROL_TOKEN_VARIABLE]) as (process, again):
        assert [again[name] for name in names] == [ready[name] for name in names]
        assert len(again["control_token"]) >= 32  # generated, and another one in each run
        assert call(again["control_url"])[0] == 401
        assert call(again["control_url"], again["control_token"])[0] == 200


@pytest.mark.parametrize(
    ("signal_number", "code", "stderr"),
    [(signal.SIGTERM, 0, []), (signal.SIGINT, 130, ["Stopped."])],
    ids=["TERM", "INT"],
)
def test_signal_stops_it_within_a_second_with_requests_under_way(signal_number, code, stderr):
    fastest = 30.0
    for _ in range(ATTEMPTS):
        with serve("--control-token", TOKEN, without=COVERAGE) as (process, ready):
            # An idle connection, one with half a request, and one that waits for a response that never comes.
            call(ready["control_url"] + "add_fault", TOKEN, always=True, stall=True)
            port = int(ready["base_url"].rpartition(":")[2])
            with contextlib.ExitStack() as connections:
                for sent in (
                    b"",
                    b"POST /v1/token HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
                    b"GET /v1/certs HTTP/1.1\r\n\r\n",
                ):
                    connection = connections.enter_context(socket.create_connection(("127.0.0.1", port)))
                    connection.sendall(sent)
                # After this response, the server has received what was sent before.
                assert call(ready["control_url"], TOKEN)[0] == 200
                took, *ended = stop(process, signal_number)
            assert ended == [code, "", stderr]
            fastest = min(fastest, took)
            if fastest < 1:
                return
    pytest.fail(f"the fastest of {ATTEMPTS} attempts took {fastest:.2f} s")


def test_closed_stdout_exits_with_1_without_traceback():
    read_end, write_end = os.pipe()
    os.close(read_end)
    with start("emulator", stdout=write_end) as process:
        os.close(write_end)
        assert error_lines(process.communicate(timeout=30)[1]) == []
        assert process.returncode == 1


def test_port_in_use_prints_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as in_use:
        assert main(["emulator", "--port", str(in_use.getsockname()[1])]) == 2
    assert capsys.readouterr() == (
        "",
        "Error: Cannot listen on the address given by --host and --port: Address already in use.\n",
    )


def test_host_that_cannot_be_resolved_prints_one_line(capsys):
    assert main(["emulator", "--host", "nowhere.invalid", "--insecurely-on-the-network"]) == 2
    out, err = capsys.readouterr()
    _warning, message = err.splitlines()
    assert out == ""
    assert message.startswith("Error: Cannot listen on the address given by --host and --port: ")
    assert "Errno" not in message


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org", "127.0.0.1.example.org", "[::1]"])
def test_host_that_is_not_loopback_needs_the_insecure_option(host, capsys, monkeypatch):
    started = []

    def run(program):
        program.close()
        started.append(program)

    monkeypatch.setattr("asyncio.run", run)
    assert main(["emulator", "--host", host]) == 2
    assert "--insecurely-on-the-network" in capsys.readouterr().err
    assert not started
    assert main(["emulator", "--host", host, "--insecurely-on-the-network"]) == 0
    assert "Warning: other machines can reach this server" in capsys.readouterr().err
    assert started


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_host_needs_no_option(host, capsys, monkeypatch):
    monkeypatch.setattr("asyncio.run", lambda program: program.close())
    assert main(["emulator", "--host", host]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--port", "65536"], "65536 is not in the range"),
        (["--interval", "0"], "0 is not in the range"),
        (["--expires-in", "0"], "0 is not in the range"),
        (["--random-seed", "x"], "'x' is not a valid integer"),
        (["--seed", "missing.toml"], "File 'missing.toml' does not exist"),
        (["--errors", "other"], "'other' is not one of 'oauth', 'twilio'"),
        (["--dates", "other"], "'other' is not one of 'rfc2822', 'iso8601'"),
        (["--public", "--client-secret", "canary"], "a public app has no client_secret."),
        (["--redirect-uri", "callback"], "a redirect URI must be an absolute URI"),
        (["--key", __file__], "--key needs --certificate."),
        (["--certificate", __file__], "--certificate and --key are not a certificate and its private key in PEM."),
        (["--json", "--", "true"], "--json prints to the output of the command; use --env-file with a command."),
        (["--env-file", "missing/emulator.env"], "--env-file cannot be written: No such file or directory."),
        (["--control-token", "canary token"], "a control token can contain only letters"),
        (["--control-token", ""], "a control token can contain only letters"),
    ],
)
def test_wrong_usage_prints_a_message_and_exits_with_2(args, message, capsys, monkeypatch):
    monkeypatch.delenv(CONTROL_TOKEN_VARIABLE, raising=False)
    assert main(["emulator", *args]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""
    assert "canary" not in err


def test_help_lists_options_and_exit_codes(capsys):
    assert main(["--help"]) == 0
    assert "emulator" in capsys.readouterr().out
    assert main(["emulator", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "that of COMMAND; without one 0 stopped by SIGTERM, 2 wrong usage or cannot listen on the address" in out
    assert CONTROL_TOKEN_VARIABLE in out
    for option in (
        "--host ADDRESS",
        "--port PORT",
        "--control-token TOKEN",
        "--seed FILE",
        "--random-seed NUMBER",
        "--interval SECONDS",
    ):
        assert option in out


@pytest.mark.parametrize("package", ["jinja2", "joserfc"])
def test_missing_package_is_reported_with_the_extra_to_install(package, monkeypatch, capsys):
    hide_modules(monkeypatch, package)
    assert main(["emulator"]) == 2
    assert f"twilio-oauth: missing package {package}: pip install" in capsys.readouterr().err
