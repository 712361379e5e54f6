"""The web examples as processes: started, stopped, killed and restarted."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.helpers import shared_clock
from tests.helpers.shared_clock import SharedClock
from tests.helpers.web_site import EXAMPLES, TIMEOUT, Visitor, clock_of, load, serving
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.stores.file import FileFlowStore

pytestmark = pytest.mark.asyncio

STOP_TIMEOUT = 3.0
"""Seconds in which a process must stop. It needs less than one; waiting for an event stream would take 20."""


class Program:
    """A running example."""

    def __init__(self, process: asyncio.subprocess.Process, output: str) -> None:
        self.process, self.output = process, output
        self.url = re.search(r"Open (http://127\.0\.0\.1:\d+)", output)[1]  # type: ignore[index]

    async def stop(self, how: signal.Signals) -> tuple[int, list[str]]:
        """Stop the process and return its exit status and log; fail if it is slow or logs a warning."""
        self.process.send_signal(how)
        async with asyncio.timeout(STOP_TIMEOUT):
            _, stderr = await self.process.communicate()
        # Development mode also reports slow callbacks, and the machine may be busy.
        log = [line for line in stderr.decode().splitlines() if not line.startswith("WARNING:asyncio:Executing <")]
        assert [line for line in log if not line.startswith("INFO:")] == []
        assert self.process.returncode is not None
        return self.process.returncode, log


@asynccontextmanager
async def running(name: str, *args: str, shared_time: bool = False, **environ: str) -> AsyncIterator[Program]:
    """Run an example as a process, with `SharedClock` if `shared_time` is set."""
    script = EXAMPLES / f"{name}.py"
    starter = [shared_clock.__file__, str(script)] if shared_time else [str(script)]
    command = [sys.executable, "-X", "dev", "-W", "error", *starter, *args]
    env = {key: value for key, value in os.environ.items() if not key.startswith("TWILIO_")} | environ
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    assert process.stderr is not None
    output = ""
    try:
        while "Open http" not in output:
            line = await process.stdout.readline()
            assert line, (await process.stderr.read()).decode()
            output += line.decode()
        yield Program(process, output)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_example_without_an_account_stops_on_ctrl_c_and_leaves_no_files(name: str, tmp_path: Path) -> None:
    async with running(name, "--port", "0", TMPDIR=str(tmp_path)) as program, Visitor(program.url) as ada:
        assert re.search(r"Users approve at http://127\.0\.0\.1:\d+\.", program.output)
        await ada.connect()
        async with listening(ada):
            assert (await program.stop(signal.SIGINT))[0] == 0
    assert files_in(tmp_path) == []


@asynccontextmanager
async def listening(visitor: Visitor) -> AsyncIterator[None]:
    """Keep an event stream open, which would otherwise last 20 s."""
    async with visitor.http.get("/events") as stream:
        while b'"pending"' not in await stream.content.readline():
            pass
        yield


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest_asyncio.fixture
async def shared(tmp_path: Path) -> AsyncIterator[tuple[Emulator, SharedClock, dict[str, str]]]:
    """An emulator that outlives the example, the clock that both share, and the environment for the example."""
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


async def test_sign_in_survives_kill_9_before_the_approval(
    name: str, state: Path, shared: tuple[Emulator, SharedClock, dict[str, str]]
) -> None:
    emulator, clock, environ = shared
    async with running(name, "--port", "0", "--state", str(state), shared_time=True, **environ) as program:
        async with Visitor(program.url) as ada:
            code, cookie = await ada.connect(), ada.cookie
        await program.stop(signal.SIGKILL)
    async with running(name, "--port", "0", "--state", str(state), shared_time=True, **environ) as program:
        async with Visitor(program.url) as ada, Visitor(program.url) as bob:
            ada.cookie = cookie
            await ada.get()
            assert ada.code == code, "shown at once, although no process polls it yet"
            async with listening(ada):
                await emulator.approve(code)
            assert "Your code" in await ada.get()
            async with asyncio.timeout(TIMEOUT):
                while "Signed in as" not in await ada.get():
                    clock.advance(1)  # until the lease of the killed process expires, and to the next poll
            assert (await ada.read_events())[-1]["state"] == "approved"
            await bob.connect()
            async with listening(bob):
                status, log = await program.stop(signal.SIGTERM)
    # After its shutdown uvicorn raises the signal again.
    assert status == (-signal.SIGTERM if name == "web_fastapi" else 0)
    assert "INFO:twilio_oauth_async.sign_in.upkeep:1 pending sign-ins were taken up" in log


async def test_sign_in_survives_a_restart_before_the_approval(name: str, state: Path, emulator: Emulator) -> None:
    async with serving(name, state) as url, Visitor(url) as ada:
        code, cookie = await ada.connect(), ada.cookie
    await emulator.approve(code)
    async with serving(name, state) as url, Visitor(url) as ada:
        ada.cookie = cookie
        await ada.get()
        assert ada.code == code
        async with asyncio.timeout(TIMEOUT):
            while "Signed in as" not in await ada.get():
                clock_of(emulator).advance(1)  # to the next poll: the sign-in was resumed at the start
    async with serving(name, state) as url, Visitor(url) as ada:
        ada.cookie = cookie
        assert "Signed in as" in await ada.get()


async def test_sign_in_leased_by_another_process_can_be_shown_and_cancelled(
    name: str, state: Path, emulator: Emulator
) -> None:
    async with serving(name, state) as url, Visitor(url) as ada:
        await ada.connect()
        cookie = ada.cookie
    flows = FileFlowStore(state / "flows.db", clock=emulator.clock)
    sign_in = cookie.split(".")[1]
    assert await flows.lease([sign_in], "other-process", 60) == {sign_in}
    async with serving(name, state) as url, Visitor(url) as ada, Visitor(url) as eve:
        await eve.get()
        eve.cookie = eve.cookie.split(".")[0] + "." + cookie.split(".")[1]
        assert "Connect with a code" in await eve.get()
        await eve.submit("/cancel")
        ada.cookie = cookie
        assert "Your code" in await ada.get()
        assert "Connect with a code" in await ada.submit("/cancel")
        assert "Your code" in await ada.submit("/connect")
    stored_flow = await flows.load(sign_in)
    assert stored_flow is not None
    assert stored_flow.state == "cancelled"


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
async def test_invalid_command_line_is_rejected(
    args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        args = [arg.format(taken=taken.getsockname()[1]) for arg in args]
        monkeypatch.setattr(sys, "argv", ["web_example.py", *args])
        with pytest.raises(SystemExit) as end:
            load("_web_backend").arguments("description")
    assert end.value.code == 2
    assert args[0] in capsys.readouterr().err


async def test_state_folder_that_is_a_file_is_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / f"{name}.py"), "--port", "0", "--state", str(tmp_path / "file")),
        env={key: value for key, value in os.environ.items() if not key.startswith("TWILIO_")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert process.returncode not in {0, None}
    assert "file/flows.db: Not a directory" in stderr.decode()
