"""`twilio-oauth emulator`: what it prints, what it refuses, and how it stops."""

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

from tests.cli.test_command import forget
from tests.cli.test_process import complaints, start
from twilio_oauth_async.cli import main
from twilio_oauth_async.cli.emulator import CONTROL_TOKEN_VARIABLE

TOKEN = "canary-token"
COVERAGE = [name for name in os.environ if name.startswith("COV")]
"""Coverage writes its findings at the very end, which must not be measured along."""
ATTEMPTS = 4
"""A busy machine may stand still for a second; it does not do so each time."""


@contextlib.contextmanager
def served(*args, **more):
    """Yield the process and the one line of JSON that it prints when it is ready."""
    with start("emulator", "--json", *args, **more) as process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def end(process, number):
    """Send a signal; return seconds until the end, exit code and what was still printed and complained about."""
    sent = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return time.monotonic() - sent, process.returncode, out, complaints(err)


def call(url, token=None, **order):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, json.dumps(order).encode() if order else None, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_ready_lines_can_be_read_in_by_a_shell(tmp_path):
    lines = []
    with start("emulator", **{CONTROL_TOKEN_VARIABLE: TOKEN}) as process:
        while not (lines and lines[-1].startswith("export TWILIO_CLIENT_SECRET")):
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
        told = call(f"{url}/_control/", TOKEN)[1]
        assert credentials == [told[name] for name in ("account_sid", "auth_token", "client_sid", "client_secret")]
        comments = "".join(line for line in lines if line.startswith("# "))
        assert f"{url}/v1/oauth2/device/activate" in comments
        assert f"{url}/_control/" in comments
        assert TOKEN not in "".join(lines)
        _, code, out, err = end(process, signal.SIGTERM)
    assert (code, out, err) == (0, "", [])


def test_options_reach_the_server():
    args = ["--seed", "7", "--errors", "twilio", "--dates", "iso8601", "--interval", "2", "--expires-in", "60"]
    with served(*args, "--virtual-clock", "--control-token", TOKEN) as (process, ready):
        control = ready["control_url"]
        assert control == ready["base_url"] + "/_control/"
        told = call(control, TOKEN)[1]
        assert (told["policy"]["interval"], told["policy"]["expires_in"]) == (2, 60)
        assert told["clock"]["virtual"] is True
        assert time.strftime("%Y-", time.gmtime()) in told["clock"]["now"]
        assert call(control + "advance", TOKEN, seconds=90)[1]["clock"]["monotonic"] == 90
        assert call(ready["base_url"] + "/nowhere")[1]["code"] == 20404
        assert call(control)[0] == 401
        assert end(process, signal.SIGTERM)[1:] == (0, "", [])
    names = ("account_sid", "auth_token", "client_sid", "client_secret")
    with served("--seed", "7", without=[CONTROL_TOKEN_VARIABLE]) as (process, again):
        assert [again[name] for name in names] == [ready[name] for name in names]
        assert again["control_url"] is None
        assert call(again["base_url"] + "/_control/")[0] == 404


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGTERM, 0, []), (signal.SIGINT, 130, ["Stopped."])], ids=["TERM", "INT"]
)
def test_it_stops_within_a_second_whatever_is_under_way(number, code, said):
    fastest = 30.0
    for _ in range(ATTEMPTS):
        with served("--control-token", TOKEN, without=COVERAGE) as (process, ready):
            # One connection that is kept alive, one with half a request, and one whose answer never comes.
            call(ready["control_url"] + "add_fault", TOKEN, always=True, stall=True)
            port = int(ready["base_url"].rpartition(":")[2])
            with contextlib.ExitStack() as open_ones:
                for sent in (
                    b"",
                    b"POST /v1/token HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
                    b"GET /v1/certs HTTP/1.1\r\n\r\n",
                ):
                    connection = open_ones.enter_context(socket.create_connection(("127.0.0.1", port)))
                    connection.sendall(sent)
                # Its answer shows that the server has got to what was sent before.
                assert call(ready["control_url"], TOKEN)[0] == 200
                took, *ended = end(process, number)
            assert ended == [code, "", said]
            fastest = min(fastest, took)
            if fastest < 1:
                return
    pytest.fail(f"the fastest of {ATTEMPTS} ends took {fastest:.2f} s")


def test_a_reader_that_goes_away_is_no_traceback():
    ours, theirs = os.pipe()
    os.close(ours)
    with start("emulator", stdout=theirs) as process:
        os.close(theirs)
        assert complaints(process.communicate(timeout=30)[1]) == []
        assert process.returncode == 1


def test_a_port_that_is_taken_is_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["emulator", "--port", str(taken.getsockname()[1])]) == 2
    assert capsys.readouterr() == ("", "Error: Cannot listen where --host and --port say: Address already in use.\n")


def test_a_name_that_cannot_be_resolved_is_one_line(capsys):
    assert main(["emulator", "--host", "nowhere.invalid", "--insecurely-on-the-network"]) == 2
    out, err = capsys.readouterr()
    _warning, complaint = err.splitlines()
    assert out == ""
    assert complaint.startswith("Error: Cannot listen where --host and --port say: ")
    assert "Errno" not in complaint


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org", "127.0.0.1.example.org", "[::1]"])
def test_other_machines_are_kept_out_unless_a_loud_option_says_otherwise(host, capsys, monkeypatch):
    ran = []

    def run(program):
        program.close()
        ran.append(program)

    monkeypatch.setattr("asyncio.run", run)
    assert main(["emulator", "--host", host]) == 2
    assert "--insecurely-on-the-network" in capsys.readouterr().err
    assert not ran
    assert main(["emulator", "--host", host, "--insecurely-on-the-network"]) == 0
    assert "Warning: other machines can reach this server" in capsys.readouterr().err
    assert ran


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_s_own_addresses_need_no_option(host, capsys, monkeypatch):
    monkeypatch.setattr("asyncio.run", lambda program: program.close())
    assert main(["emulator", "--host", host]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--port", "65536"], "65536 is not in the range"),
        (["--interval", "0"], "0 is not in the range"),
        (["--expires-in", "0"], "0 is not in the range"),
        (["--seed", "x"], "'x' is not a valid integer"),
        (["--errors", "other"], "'other' is not one of 'oauth', 'twilio'"),
        (["--dates", "other"], "'other' is not one of 'rfc2822', 'iso8601'"),
        (["--virtual-clock"], "--virtual-clock needs --control-token"),
        (["--control-token", "canary token"], "a control token is made of letters"),
        (["--control-token", ""], "a control token is made of letters"),
    ],
)
def test_wrong_usage_is_explained_and_exits_with_2(args, complaint, capsys, monkeypatch):
    monkeypatch.delenv(CONTROL_TOKEN_VARIABLE, raising=False)
    assert main(["emulator", *args]) == 2
    out, err = capsys.readouterr()
    assert complaint in err
    assert out == ""
    assert "canary" not in err


def test_help_tells_every_option_and_exit_code(capsys):
    assert main(["--help"]) == 0
    assert "emulator" in capsys.readouterr().out
    assert main(["emulator", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "0 stopped by SIGTERM, 2 wrong usage or an address that is taken, 130 stopped with Ctrl-C" in out
    assert CONTROL_TOKEN_VARIABLE in out
    for option in ("--host ADDRESS", "--port PORT", "--control-token TOKEN", "--seed NUMBER", "--interval SECONDS"):
        assert option in out


@pytest.mark.parametrize("package", ["jinja2", "joserfc"])
def test_a_missing_extra_is_named(package, monkeypatch, capsys):
    forget(monkeypatch, package)
    assert main(["emulator"]) == 2
    assert f"twilio-oauth: this needs {package}: pip install" in capsys.readouterr().err
