"""The emulator itself: start and stop, the seed, and missing optional packages."""

from __future__ import annotations

import re
import subprocess
import sys

import aiohttp
import pytest

from tests.helpers.emulator_caller import Caller
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator


@pytest.mark.asyncio
async def test_base_url_exists_only_while_running(clock: VirtualClock) -> None:
    emulator = Emulator(clock=clock)
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.base_url
    async with emulator:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", emulator.base_url)
        with pytest.raises(RuntimeError, match="already"):
            await emulator.__aenter__()
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.base_url


@pytest.mark.asyncio
async def test_start_on_a_used_port_raises_os_error(emulator: Emulator) -> None:
    used_port = int(emulator.base_url.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        async with Emulator(port=used_port):
            pass


@pytest.mark.asyncio
async def test_emulator_can_be_started_again_and_keeps_its_state(clock: VirtualClock) -> None:
    emulator = Emulator(clock=clock)
    for _ in range(2):
        async with emulator, aiohttp.ClientSession() as http:
            code = await Caller(emulator, http).device_code()
            assert (await Caller(emulator, http).poll(code["device_code"]))[0] == 400
    assert emulator.pending_device_codes == emulator.remembered_device_codes == 2
    assert emulator.clock is clock


def test_same_seed_gives_same_identifiers() -> None:
    first, second, unseeded = Emulator(seed=7), Emulator(seed=7), Emulator()
    assert first.client_sid == second.client_sid != unseeded.client_sid
    assert first.auth_token == second.auth_token


@pytest.mark.parametrize("missing", ["jinja2", "joserfc"])
def test_import_without_optional_package_names_the_extra(missing: str) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None\nimport twilio_oauth_async.emulator"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "pip install 'twilio-oauth-async[emulator]'" in process.stderr
    assert process.returncode == 1


def test_import_error_of_own_module_does_not_name_an_extra() -> None:
    script = "import sys; sys.modules['twilio_oauth_async.emulator.server'] = None\nimport twilio_oauth_async.emulator"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "pip install" not in process.stderr
    assert process.returncode == 1
