"""The sign-in site on a `DeviceFlowQueue`, in two web processes and two workers: examples/web_cluster.py."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.helpers.nats_server import NatsServer, need_nats
from tests.helpers.redis_server import free_port
from tests.helpers.web_site import MOUNT, TIMEOUT, Visitor
from tests.web.test_processes import is_listening
from twilio_oauth_async.emulator import Emulator

EXAMPLE = Path(__file__).parents[2] / "examples/web_cluster.py"


@pytest.mark.asyncio
async def test_sign_in_is_started_in_one_process_and_seen_in_the_other(tmp_path: Path) -> None:
    need_nats()
    server = NatsServer(tmp_path / "nats").start()
    port = free_port()
    async with Emulator(interval=1) as emulator:
        environ = {
            "TWILIO_CLIENT_ID": emulator.client_sid,
            "TWILIO_CLIENT_SECRET": str(emulator.client_secret),
            "TWILIO_ACCOUNT_SID": emulator.account_sid,
            "TWILIO_AUTH_TOKEN": emulator.auth_token,
            "TWILIO_OAUTH_URL": emulator.base_url,
            "NATS_URL": server.url,
            "PORT": str(port),
        }
        # A file, because the processes that it starts would keep a pipe open if this test failed.
        output = tmp_path / "output"
        with output.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(EXAMPLE),
                env={**os.environ, **environ},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(TIMEOUT):
                while not await is_listening(port):
                    assert process.returncode is None, output.read_text()
                    await asyncio.sleep(0.05)
            async with Visitor(f"http://127.0.0.1:{port}{MOUNT}") as ada:
                code = await ada.connect()
                await emulator.approve(code)
                await ada.wait_for("Signed in as")
                processes = set()
                async with asyncio.timeout(TIMEOUT):
                    while len(processes) < 2:
                        # Each connection is given to one of the processes.
                        async with ada.http.get(f"http://127.0.0.1:{port}/", headers={"Connection": "close"}) as home:
                            greeting = await home.text()
                        assert greeting.startswith("Hello, Ada Example, from process ")
                        processes.add(greeting.split(".")[0])
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), TIMEOUT)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
            server.stop()
    assert process.returncode == 0
    text = output.read_text()
    assert f"Open http://127.0.0.1:{port}/twilio/ to sign in." in text
    assert "Traceback" not in text
    assert text.count("Polling sign-ins.") == 2
