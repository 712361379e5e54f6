"""Each example runs unchanged against the emulator."""

import asyncio
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from twilio_oauth_async import OAuthSession, VirtualClock
from twilio_oauth_async.emulator import Emulator

FOLDER = Path(__file__).parents[1] / "examples"
DEVICE_LOGIN = FOLDER / "device_login.py"

SIGN_IN = r"""
Example asks to use your Twilio account\.
To sign in, open (?P<link>http://127\.0\.0\.1:\d+/\S+)\?user_code=(?P<code>\S+)
and check that the page shows the code (?P=code)
\(or enter the code at (?P=link)\)
The page must be on 127\.0\.0\.1:\d+\. The code expires at \d\d:\d\d UTC\.

This lets Example:
- see which Twilio user you are

Continue only if you started this sign-in yourself\. If you got the code [^.]*, cancel\.
""".strip()
USING_THE_EMULATOR = r"TWILIO_CLIENT_ID is not set: using the emulator\."

OUTPUT_WITHOUT_ACCOUNT = {
    "device_login": [SIGN_IN, r"Signed in as Ada Example, until 20\d\d-.*"],
    "resume_after_restart": [
        USING_THE_EMULATOR,
        SIGN_IN,
        r"Stopped before the token was requested\.",
        r"Resumed: (?P=code)",
        r"Signed in, until 20\d\d-.*",
    ],
    "client_credentials": [
        r"TWILIO_CLIENT_ID and TWILIO_CLIENT_SECRET are not set: using the emulator\.",
        r"100 tasks got 1 token, valid until 20\d\d-.*",
    ],
    "call_twilio_api": [
        "TWILIO_CLIENT_ID, TWILIO_CLIENT_SECRET, TWILIO_ACCOUNT_SID are not set: using the emulator.",
        "The last messages are: delivered, queued",
    ],
    "verify_id_token": [
        USING_THE_EMULATOR,
        SIGN_IN,
        r"Signed in: US\w{32}, issuer https://iam\.twilio\.com, ID token valid until 20\d\d-.*",
        r"A forged ID token is rejected: .*signature.*",
    ],
    "shared_tokens_redis": [
        USING_THE_EMULATOR,
        SIGN_IN,
        r"Signed in on one host\. The other host has the same token: True",
        r"Both hosts asked for a new token\. New: True, the same on both: True",
    ],
}
"""What each example prints: one pattern per line or block of lines."""

# The bot and the web backends run until they are stopped; they are tested in examples_bot and examples_web.
# own_token_store.py is a module for programs of the reader; tests/stores/test_own_store.py tests it.
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith(("_", "bot_", "own_", "web_")))


def environment(**variables):
    """Return our environment without the variables that name another server."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("TWILIO_", "REDIS_"))} | variables


def command(name):
    return [sys.executable, "-X", "dev", "-W", "error", str(FOLDER / f"{name}.py")]


def errors_in(stderr):
    # Development mode also reports slow callbacks, and the machine may be busy.
    return [line for line in stderr.splitlines() if not line.startswith("Executing <")]


def run(name, cwd, **variables):
    return subprocess.run(
        command(name),
        env=environment(**variables),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_example_has_an_expected_output():
    assert sorted(OUTPUT_WITHOUT_ACCOUNT) == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_has_fewer_than_60_lines(name):
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) < 60


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_runs_without_an_account(name, tmp_path):
    if name == "shared_tokens_redis" and shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    done = run(name, tmp_path)
    assert done.returncode == 0, done.stderr
    assert errors_in(done.stderr) == []
    assert re.fullmatch("\n".join(OUTPUT_WITHOUT_ACCOUNT[name]) + "\n", done.stdout), done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
@pytest.mark.parametrize(("act", "code", "last"), [("approve", 0, "A forged ID token is rejected: "), ("deny", 1, "")])
async def test_verify_id_token_uses_the_server_named_in_the_environment(act, code, last, tmp_path):
    async with Emulator(interval=1) as emulator:
        process = await asyncio.create_subprocess_exec(
            *command("verify_id_token"),
            env=environment(
                TWILIO_OAUTH_URL=emulator.base_url,
                TWILIO_CLIENT_ID=emulator.client_sid,
                TWILIO_CLIENT_SECRET=emulator.client_secret,
                TWILIO_ACCOUNT_SID=emulator.account_sid,
                TWILIO_AUTH_TOKEN=emulator.auth_token,
            ),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            shown = (await process.stdout.readuntil(b"started this sign-in yourself")).decode()
            shown += (await process.stdout.readline()).decode()
            # The example does not approve by itself here.
            await getattr(emulator, act)(re.match(SIGN_IN, shown)["code"])
            stdout, stderr = (text.decode() for text in await process.communicate())
        assert process.returncode == code
        assert stdout.rpartition("\n")[0].rpartition("\n")[2].startswith(last)
        errors = errors_in(stderr)
        assert errors == [] if code == 0 else errors[0].startswith("Failed: 400 access_denied")
        for secret in (emulator.client_secret, emulator.auth_token):
            assert secret not in shown + stdout + stderr


@pytest.mark.asyncio
async def test_client_credentials_example_needs_no_account_credentials(tmp_path):
    async with Emulator() as emulator:
        variables = {"TWILIO_CLIENT_ID": emulator.client_sid, "TWILIO_OAUTH_URL": emulator.base_url}
        succeeded, failed = await asyncio.gather(
            *(
                asyncio.to_thread(run, "client_credentials", tmp_path, **variables, TWILIO_CLIENT_SECRET=secret)
                for secret in (emulator.client_secret, "wrong")
            )
        )
    assert succeeded.returncode == 0, succeeded.stderr
    assert succeeded.stdout.startswith("100 tasks got 1 token, valid until 20")
    assert failed.returncode == 1
    assert errors_in(failed.stderr)[0].startswith("Failed: 401 invalid_client")


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"PATH": ""}, "Redis was not found: install redis-server, or set REDIS_URL."),
        ({"REDIS_URL": "unix:///nowhere"}, "Failed: Redis: ConnectionError"),
    ],
)
def test_redis_example_without_redis_prints_what_to_do(variables, error, tmp_path):
    done = run("shared_tokens_redis", tmp_path, **variables)
    assert (done.returncode, errors_in(done.stderr)) == (1, [error])


@pytest.mark.asyncio
@pytest.mark.parametrize("act", ["approve", "deny", "expire"])
async def test_device_login_example_with_an_account(act, monkeypatch, capsys):
    programs = []
    async with Emulator(clock=VirtualClock()) as emulator:

        def from_env():
            return OAuthSession(
                emulator.account_sid, emulator.auth_token, base_url=emulator.base_url, clock=emulator.clock
            )

        async def decide():
            shown = ""
            while not (code := re.search(r"the code (\S+-\S+)", shown)):
                await asyncio.sleep(0)
                shown += capsys.readouterr().out
            await getattr(emulator, act)(code[1])

        monkeypatch.setattr(OAuthSession, "from_env", from_env)
        monkeypatch.setattr(asyncio, "run", programs.append)
        monkeypatch.setenv("TWILIO_CLIENT_ID", emulator.client_sid)
        runpy.run_path(str(DEVICE_LOGIN))
        [program] = programs
        user = asyncio.create_task(decide())
        if act == "approve":
            await program
            assert capsys.readouterr().out.startswith("Signed in as Ada Example, until 20")
        else:
            with pytest.raises(SystemExit, match=r"^Not signed in: "):
                await program
        await user


@pytest.mark.parametrize("name", ["device_login", "resume_after_restart", "verify_id_token"])
def test_example_without_account_credentials_names_the_variables_to_set(name, tmp_path):
    done = run(name, tmp_path, TWILIO_CLIENT_ID="OQ0")
    assert done.returncode == 1
    assert re.match("Failed: .*TWILIO_ACCOUNT_SID", errors_in(done.stderr)[0])


@pytest.mark.parametrize("path", sorted(FOLDER.glob("bot_*.py")), ids=lambda path: path.stem)
def test_bot_has_at_most_60_lines(path):
    assert len(path.read_text().splitlines()) <= 60
