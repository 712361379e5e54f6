"""The examples as people run them: started, stopped, killed, and started again."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from tests.helpers import shared_clock
from tests.helpers.shared_clock import SharedClock
from tests.helpers.web_site import EXAMPLES, PATIENCE, Person, clock_of, load, serving, stored
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.stores.file import FileFlowStore

pytestmark = pytest.mark.asyncio

QUICK = 3.0
"""Seconds to stop in. It is less than one here; a busy machine is not to fail the test, a stream of 20 s is."""


class Program:
    """A running example."""

    def __init__(self, process: asyncio.subprocess.Process, said: str) -> None:
        self.process, self.said = process, said
        self.url = re.search(r"Open (http://127\.0\.0\.1:\d+)", said)[1]  # type: ignore[index]

    async def stop(self, how: signal.Signals) -> tuple[int, list[str]]:
        """How it ended, and what it logged: no complaints, and soon."""
        self.process.send_signal(how)
        async with asyncio.timeout(QUICK):
            _, stderr = await self.process.communicate()
        # Development mode reports what is slow, too, and the machine may be busy.
        log = [line for line in stderr.decode().splitlines() if not line.startswith("WARNING:asyncio:Executing <")]
        assert [line for line in log if not line.startswith("INFO:")] == []
        assert self.process.returncode is not None
        return self.process.returncode, log


@asynccontextmanager
async def running(name: str, *args: str, by_clock: bool = False, **environ: str) -> AsyncIterator[Program]:
    script = EXAMPLES / f"{name}.py"
    starter = [shared_clock.__file__, str(script)] if by_clock else [str(script)]
    command = [sys.executable, "-X", "dev", "-W", "error", *starter, *args]
    env = {key: value for key, value in os.environ.items() if not key.startswith("TWILIO_")} | environ
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    assert process.stderr is not None
    said = ""
    try:
        while "Open http" not in said:
            line = await process.stdout.readline()
            assert line, (await process.stderr.read()).decode()
            said += line.decode()
        yield Program(process, said)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_without_an_account_until_ctrl_c(name: str, tmp_path: Path) -> None:
    async with running(name, "--port", "0", TMPDIR=str(tmp_path)) as program, Person(program.url) as ada:
        assert re.search(r"People approve at http://127\.0\.0\.1:\d+\.", program.said)
        await ada.connect()
        async with listening(ada):
            assert (await program.stop(signal.SIGINT))[0] == 0
    assert left_in(tmp_path) == [], "what was not to be kept is gone"


@asynccontextmanager
async def listening(person: Person) -> AsyncIterator[None]:
    """A stream that is open, and by itself would be for long."""
    async with person.http.get("/events") as stream:
        while b'"pending"' not in await stream.content.readline():
            pass
        yield


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest_asyncio.fixture
async def shared(tmp_path: Path) -> AsyncIterator[tuple[Emulator, SharedClock, dict[str, str]]]:
    """An emulator that outlives the example, in a time that both share."""
    clock = SharedClock(tmp_path / "clock")
    async with Emulator(clock=clock) as emulator:
        yield (
            emulator,
            clock,
            {
                shared_clock.VARIABLE: str(clock.path),
                "TWILIO_CLIENT_ID": emulator.client_sid,
                "TWILIO_CLIENT_SECRET": str(emulator.client_secret),
                "TWILIO_ACCOUNT_SID": emulator.account_sid,
                "TWILIO_AUTH_TOKEN": emulator.auth_token,
                "TWILIO_OAUTH_URL": emulator.base_url,
            },
        )


async def test_killed_between_the_code_and_the_approval(
    name: str, state: Path, shared: tuple[Emulator, SharedClock, dict[str, str]]
) -> None:
    emulator, clock, environ = shared
    async with running(name, "--port", "0", "--state", str(state), by_clock=True, **environ) as program:
        async with Person(program.url) as ada:
            code, cookie = await ada.connect(), ada.cookie
        await program.stop(signal.SIGKILL)
    async with running(name, "--port", "0", "--state", str(state), by_clock=True, **environ) as program:
        async with Person(program.url) as ada, Person(program.url) as bob:
            ada.cookie = cookie
            await ada.look()
            assert ada.code == code, "seen at once, although nobody drives it yet"
            assert await ada.stream() == [], "the browser is to ask again"
            await emulator.approve(code)
            for _ in range(3):  # what ends the dead one's claim is that time passes, not how long the test takes
                assert "Your code" in await ada.look()
                clock.advance(30)
            async with asyncio.timeout(PATIENCE):
                while "Signed in as" not in await ada.look():
                    clock.advance(1)  # it may have looked for the dead one's sign-ins just before
            assert (await ada.stream())[-1]["state"] == "approved"
            assert code not in stored(state, "flows.json")
            await bob.connect()
            async with listening(bob):
                status, log = await program.stop(signal.SIGTERM)
    # Uvicorn dies of the signal that it was sent, once all is put away.
    assert status == (-signal.SIGTERM if name == "web_fastapi" else 0)
    assert "INFO:twilio_oauth_async.sign_in.pool:1 pending sign-ins were taken up" in log


async def test_stopped_between_the_code_and_the_approval(name: str, state: Path, emulator: Emulator) -> None:
    async with serving(name, state) as url, Person(url) as ada:
        code, cookie = await ada.connect(), ada.cookie
    await emulator.approve(code)
    async with serving(name, state) as url, Person(url) as ada:
        ada.cookie = cookie
        await ada.look()
        assert ada.code == code
        clock_of(emulator).advance(6)  # to the next poll: it was taken up at once
        await ada.until("Signed in as")
    async with serving(name, state) as url, Person(url) as ada:
        ada.cookie = cookie
        assert "Signed in as" in await ada.look()


async def test_what_another_process_drives_can_be_seen_and_cancelled(
    name: str, state: Path, emulator: Emulator
) -> None:
    async with serving(name, state) as url, Person(url) as ada:
        await ada.connect()
        cookie = ada.cookie
    flows = FileFlowStore(state / "flows.json", clock=emulator.clock)
    assert await flows.claim(cookie.split(".")[1], "another", emulator.clock.now() + timedelta(seconds=60))
    async with serving(name, state) as url, Person(url) as ada, Person(url) as eve:
        await eve.look()
        eve.cookie = eve.cookie.split(".")[0] + "." + cookie.split(".")[1]
        assert "Connect with a code" in await eve.look()
        await eve.press("/cancel")
        ada.cookie = cookie
        assert "Your code" in await ada.look()
        assert "Connect with a code" in await ada.press("/cancel")
        assert "Your code" in await ada.press("/connect")
    assert await flows.load(cookie.split(".")[1]) is None


@pytest.mark.parametrize(
    "args",
    [
        ["--port", "{taken}"],
        ["--port", "x"],
        ["--port", "99999"],
        ["--nonsense"],
        ["--url", "foo"],
        ["--url", "http://example.com"],
        ["--url", "https://u:p@example.com"],
        ["--url", "https://example.com/path?query"],
    ],
)
async def test_a_command_line_that_cannot_be(
    args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        args = [arg.format(taken=taken.getsockname()[1]) for arg in args]
        monkeypatch.setattr(sys, "argv", ["web_example.py", *args])
        with pytest.raises(SystemExit) as end:
            load("_web_backend").arguments("what it does")
    assert end.value.code == 2
    assert args[0] in capsys.readouterr().err


async def test_a_folder_that_cannot_be(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / f"{name}.py"), "--port", "0", "--state", str(tmp_path / "file")),
        env={key: value for key, value in os.environ.items() if not key.startswith("TWILIO_")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert process.returncode not in {0, None}
    assert "file/flows.json: Not a directory" in stderr.decode()
