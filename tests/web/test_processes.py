"""The site in processes that are started, stopped, killed and restarted: the web examples, and servers of the tests."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.helpers import shared_clock
from tests.helpers.redis_server import free_port
from tests.helpers.shared_clock import SharedClock
from tests.helpers.web_site import MOUNT, TIMEOUT, Visitor, clock_of, serving
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.stores.file import FileFlowStore

STOP_TIMEOUT = 2.0
"""Seconds in which a process must stop, although event streams are open: a server waits for responses to end."""
NAMES = ["web_aiohttp", "web_fastapi"]
EXAMPLES = Path(__file__).parents[2] / "examples"


class Program:
    """A running example."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process, self.url = process, url

    async def stop(self, how: signal.Signals) -> int:
        """Stop the process and return its exit status; fail if it is slow or prints a warning."""
        self.process.send_signal(how)
        async with asyncio.timeout(STOP_TIMEOUT):
            _, stderr = await self.process.communicate()
        # Development mode also reports slow callbacks, and the machine may be busy.
        log = [line for line in stderr.decode().splitlines() if not line.startswith("Executing <")]
        assert [line for line in log if not line.startswith("INFO:")] == []
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def running(
    name: str, state: Path, *, port: int | None = None, shared_time: bool = False, **environ: str
) -> AsyncIterator[Program]:
    """Run an example as a process, with `SharedClock` if `shared_time` is set."""
    script = EXAMPLES / f"{name}.py"
    starter = [shared_clock.__file__, str(script)] if shared_time else [str(script)]
    command = [sys.executable, "-X", "dev", "-W", "error", *starter]
    port = port or free_port()
    env = {key: value for key, value in os.environ.items() if not key.startswith("TWILIO_")} | environ
    env |= {"PORT": str(port), "STATE": str(state)}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(TIMEOUT):
            while not await is_listening(port):
                if process.returncode is not None:
                    raise AssertionError((await process.communicate())[1].decode())
                await asyncio.sleep(0.02)
        yield Program(process, f"http://127.0.0.1:{port}{MOUNT}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def is_listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.mark.parametrize("name", NAMES)
def test_example_has_at_most_40_lines(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 40


@pytest.mark.asyncio
@pytest.mark.parametrize("name", NAMES)
async def test_example_without_an_account_stops_on_ctrl_c_with_open_event_streams(name: str, state: Path) -> None:
    async with running(name, state) as program, Visitor(program.url) as ada:
        async with ada.http.get(program.url.removesuffix(MOUNT)) as response:
            assert response.status == 401
        await ada.connect()
        async with listening(ada), listening(ada):
            assert await program.stop(signal.SIGINT) == 0


@asynccontextmanager
async def listening(visitor: Visitor) -> AsyncIterator[None]:
    """Keep an event stream open."""
    async with visitor.request("GET", "/events") as stream:
        while b'"pending"' not in await stream.content.readline():
            pass
        yield


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


@pytest.mark.asyncio
@pytest.mark.parametrize("name", NAMES)
async def test_sign_in_survives_kill_9_before_the_approval(
    name: str, state: Path, shared: tuple[Emulator, SharedClock, dict[str, str]]
) -> None:
    emulator, clock, environ = shared
    port = free_port()  # the public URL stays the same
    async with running(name, state, port=port, shared_time=True, **environ) as program:
        async with Visitor(program.url) as ada:
            code = await ada.connect()
            sign_in = ada.cookie
        await program.stop(signal.SIGKILL)
    async with running(name, state, port=port, shared_time=True, **environ) as program, Visitor(program.url) as ada:
        ada.cookie = sign_in
        await ada.get()
        assert ada.code == code, "shown at once, although no process polls it yet"
        await emulator.approve(code)
        interrupted, seconds = 0, 0
        async with asyncio.timeout(TIMEOUT):
            while "Signed in as" not in await ada.get():
                interrupted += "Example was interrupted" in ada.text
                clock.advance(1)  # until the lease of the killed process expires, and to the next poll
                seconds += 1
        assert interrupted > 0, "the page says why it still waits"
        assert seconds <= 60
        async with Visitor(program.url) as bob:
            await bob.connect()
            async with listening(bob):
                status = await program.stop(signal.SIGTERM)
    # After its shutdown uvicorn raises the signal again.
    assert status == (-signal.SIGTERM if name == "web_fastapi" else 0)


@pytest.mark.asyncio
async def test_sign_in_survives_a_restart_before_the_approval(framework: str, state: Path, emulator: Emulator) -> None:
    async with serving(framework, emulator, state) as url, Visitor(url) as ada:
        code, cookie = await ada.connect(), ada.cookie
    await emulator.approve(code)
    async with serving(framework, emulator, state) as url, Visitor(url) as ada:
        ada.cookie = cookie
        await ada.get()
        assert ada.code == code
        async with asyncio.timeout(TIMEOUT):
            while "Signed in as" not in await ada.get():
                clock_of(emulator).advance(1)  # to the next poll: the sign-in was resumed at the start
    async with serving(framework, emulator, state) as url, Visitor(url) as ada:
        ada.cookie = cookie
        assert "Signed in as" in await ada.get()


@pytest.mark.asyncio
async def test_sign_in_leased_by_another_process_can_be_shown_and_cancelled(
    framework: str, state: Path, emulator: Emulator
) -> None:
    async with serving(framework, emulator, state) as url, Visitor(url) as ada:
        await ada.connect()
        cookie = ada.cookie
    flows = FileFlowStore(state / "flows.db", clock=emulator.clock)
    sign_in = cookie.split(".")[1]
    assert await flows.lease([sign_in], "other-process", 60) == {sign_in}
    async with serving(framework, emulator, state) as url, Visitor(url) as ada, Visitor(url) as eve:
        await eve.get()
        eve.cookie = eve.cookie.split(".")[0] + "." + cookie.split(".")[1]
        assert "Connect your Twilio account" in await eve.get()
        await eve.submit("/cancel")
        ada.cookie = cookie
        assert "Your code" in await ada.get()
        assert "The sign-in was cancelled" in await ada.submit("/cancel")
        assert "Your code" in await ada.submit("/connect")
    stored_flow = await flows.load(sign_in)
    assert stored_flow is not None
    assert stored_flow.state == "cancelled"


@pytest.mark.asyncio
@pytest.mark.parametrize("name", NAMES)
async def test_state_folder_that_is_a_file_is_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AssertionError, match=r"file/flows\.db: Not a directory"):
        async with running(name, tmp_path / "file"):
            pass
