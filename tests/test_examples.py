"""Each example runs as it is, against the emulator."""

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
To sign in, open (?P<link>http://127\.0\.0\.1:\d+/\S+)\?user_code=(?P<code>\S+)
and check that the page shows the code (?P=code)
\(or enter the code at (?P=link)\)

This lets the example use: openid
Do this only if you started the sign-in yourself\. Never enter a code that you did not request\.
""".strip()
AT_AN_EMULATOR = r"TWILIO_CLIENT_ID is not set: using an emulated server\."

WITHOUT_AN_ACCOUNT = {
    "device_login": [SIGN_IN, r"Signed in as Ada Example, until 20\d\d-.*"],
    "resume_after_restart": [
        AT_AN_EMULATOR,
        SIGN_IN,
        r"Stopped before anybody had asked for the token\.",
        r"Taken up again: (?P=code)",
        r"Signed in, until 20\d\d-.*",
    ],
    "client_credentials": [
        r"TWILIO_CLIENT_ID and TWILIO_CLIENT_SECRET are not set: using an emulated server\.",
        r"100 tasks got 1 token, good until 20\d\d-.*",
    ],
    "call_twilio_api": [
        "TWILIO_CLIENT_ID, TWILIO_CLIENT_SECRET, TWILIO_ACCOUNT_SID name no app at Twilio: using an emulated server.",
        "The last messages are: delivered, queued",
    ],
    "verify_id_token": [
        AT_AN_EMULATOR,
        SIGN_IN,
        r"US\w{32} signed in, says https://iam\.twilio\.com; this holds until 20\d\d-.*",
        r"A forged one is refused: .*signature.*",
    ],
    "shared_tokens_redis": [
        AT_AN_EMULATOR,
        SIGN_IN,
        r"Signed in on one host\. The other one has the token too: True",
        r"Both refreshed it at once\. There is a new one: True, the same on both: True",
    ],
}
"""What each of them says, a pattern a line or a block."""

# A bot and a web backend run until they are stopped, and have tests of their own.
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith(("_", "bot_", "web_")))


def environment(**variables):
    """Ours, without what would lead an example elsewhere."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("TWILIO_", "REDIS_"))} | variables


def command(name):
    return [sys.executable, "-X", "dev", "-W", "error", str(FOLDER / f"{name}.py")]


def complaints(stderr):
    # Development mode also reports what is slow, and the machine may be busy.
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


def test_all_are_run():
    assert sorted(WITHOUT_AN_ACCOUNT) == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_is_read_at_a_glance(name):
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) < 60


@pytest.mark.parametrize("name", EXAMPLES)
def test_runs_without_an_account(name, tmp_path):
    if name == "shared_tokens_redis" and shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    done = run(name, tmp_path)
    assert done.returncode == 0, done.stderr
    assert complaints(done.stderr) == []
    assert re.fullmatch("\n".join(WITHOUT_AN_ACCOUNT[name]) + "\n", done.stdout), done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
@pytest.mark.parametrize(("act", "code", "last"), [("approve", 0, "A forged one is refused: "), ("deny", 1, "")])
async def test_with_an_app_elsewhere(act, code, last, tmp_path):
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
            shown = (await process.stdout.readuntil(b"you did not request.\n")).decode()
            # Nobody signs in for the person here.
            await getattr(emulator, act)(re.match(SIGN_IN, shown)["code"])
            stdout, stderr = (text.decode() for text in await process.communicate())
        assert process.returncode == code
        assert stdout.rpartition("\n")[0].rpartition("\n")[2].startswith(last)
        said = complaints(stderr)
        assert said == [] if code == 0 else said[0].startswith("It did not work: 400 access_denied")
        for secret in (emulator.client_secret, emulator.auth_token):
            assert secret not in shown + stdout + stderr


@pytest.mark.asyncio
async def test_client_credentials_need_no_account(tmp_path):
    async with Emulator() as emulator:
        variables = {"TWILIO_CLIENT_ID": emulator.client_sid, "TWILIO_OAUTH_URL": emulator.base_url}
        ok, refused = await asyncio.gather(
            *(
                asyncio.to_thread(run, "client_credentials", tmp_path, **variables, TWILIO_CLIENT_SECRET=secret)
                for secret in (emulator.client_secret, "guessed")
            )
        )
    assert ok.returncode == 0, ok.stderr
    assert ok.stdout.startswith("100 tasks got 1 token, good until 20")
    assert refused.returncode == 1
    assert complaints(refused.stderr)[0].startswith("It did not work: 401 invalid_client")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PATH": ""}, "There is no Redis: install redis-server, or set REDIS_URL."),
        ({"REDIS_URL": "unix:///nowhere"}, "It did not work: Redis: ConnectionError"),
    ],
)
def test_redis_is_missing(variables, said, tmp_path):
    done = run("shared_tokens_redis", tmp_path, **variables)
    assert (done.returncode, complaints(done.stderr)) == (1, [said])


@pytest.mark.asyncio
@pytest.mark.parametrize("act", ["approve", "deny", "expire"])
async def test_device_login_with_an_account(act, monkeypatch, capsys):
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
        person = asyncio.create_task(decide())
        if act == "approve":
            await program
            assert capsys.readouterr().out.startswith("Signed in as Ada Example, until 20")
        else:
            with pytest.raises(SystemExit, match="Nobody signed in"):
                await program
        await person


@pytest.mark.parametrize("name", ["device_login", "resume_after_restart", "verify_id_token"])
def test_an_app_without_credentials(name, tmp_path):
    done = run(name, tmp_path, TWILIO_CLIENT_ID="OQ0")
    assert done.returncode == 1
    assert complaints(done.stderr)[0].startswith(
        "It did not work: no credentials in the environment: set TWILIO_ACCOUNT_SID"
    )
