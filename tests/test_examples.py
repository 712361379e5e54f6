"""Each example runs as it is, against the emulator."""

import asyncio
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from twilio_oauth_async import OAuthSession, VirtualClock
from twilio_oauth_async.emulator import Emulator

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
DEVICE_LOGIN = Path(__file__).parents[1] / "examples" / "device_login.py"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_runs_without_an_account(path, tmp_path):
    unset = {name: value for name, value in os.environ.items() if not name.startswith("TWILIO_")}
    command = [sys.executable, "-X", "dev", "-W", "error", str(path)]
    run = subprocess.run(command, env=unset, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    # Development mode also reports what is slow, and the machine may be busy.
    assert [line for line in run.stderr.splitlines() if not line.startswith("Executing <")] == []
    assert run.stdout.startswith("To sign in, open http://127.0.0.1:")
    assert re.search(r"^Signed in as Ada Example, until 20\d\d-", run.stdout, re.MULTILINE)


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


def test_device_login_without_credentials(tmp_path):
    without = {name: value for name, value in os.environ.items() if not name.startswith("TWILIO_")}
    run = subprocess.run(
        [sys.executable, str(DEVICE_LOGIN)],
        env=without | {"TWILIO_CLIENT_ID": "OQ0"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.startswith("It did not work: no credentials in the environment: set TWILIO_ACCOUNT_SID")
