"""CPU time of one poll of the emulator, compared with an aiohttp server that responds with a constant.

    python benchmarks/emulator_throughput.py

Both servers run in processes of their own, and the same client sends them the same polls, in turn. The result is the
CPU time of the server process for one request. The ratio of the requests that each can process in a second is the
inverse of that of the times.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable

import aiohttp
from aiohttp import web
from emulator_process import emulator_process
from harness import Report, Spread, Usage, cpu_of_process, in_turn

from twilio_oauth_async import DEVICE_CODE_GRANT

POLLS, ROUNDS, AT_ONCE = 500, 15, 16
MIN_RATIO = 0.5
PENDING = {"error": "authorization_pending", "error_description": "The user has not decided."}


async def serve() -> None:
    """Run the constant server until its input ends; called in a child process."""

    async def respond(request: web.Request) -> web.Response:
        await request.post()
        return web.json_response(PENDING, status=400)

    app = web.Application()
    app.router.add_post("/v1/token", respond)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


@contextlib.asynccontextmanager
async def aiohttp_process() -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    """Start the constant server; yield its process and base URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "serve"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.stdin.close()
        await process.wait()


async def main() -> int:
    """Measure, print the results and compare them with the limits."""
    report = Report(__file__, __doc__, packages=("aiohttp",))
    async with emulator_process() as emulator, aiohttp_process() as (process, url), aiohttp.ClientSession() as http:
        account = aiohttp.encode_basic_auth(emulator.account_sid, emulator.auth_token)

        async def post(url: str, fields: dict[str, str]) -> dict[str, str]:
            async with http.post(url, data=fields, headers={"Authorization": account}) as response:
                return json.loads(await response.read())

        async def new_code() -> str:
            fields = {"ClientSid": emulator.client_sid, "Scopes": "openid"}
            return (await post(emulator.base_url + "/v1/device/code", fields))["device_code"]

        codes = [await new_code() for _ in range(POLLS)]

        def polls(base_url: str, pid: int) -> Callable[[], Awaitable[Usage]]:
            async def poll(code: str) -> None:
                fields = {"GrantType": DEVICE_CODE_GRANT, "ClientSid": emulator.client_sid, "DeviceCode": code}
                assert (await post(base_url + "/v1/token", fields))["error"] in {"authorization_pending", "slow_down"}

            async def run() -> Usage:
                before = cpu_of_process(pid)
                for start in range(0, POLLS, AT_ONCE):
                    await asyncio.gather(*map(poll, codes[start : start + AT_ONCE]))
                after = cpu_of_process(pid)
                assert before is not None, "the CPU time of another process is known on Linux only"
                assert after is not None
                emulator.send("deny", "forget-the-journal")  # each command clears the journal of requests
                return Usage(cpu=after - before)

            return run

        rounds = {
            "emulator": polls(emulator.base_url, emulator.process.pid),
            "constant": polls(url, process.pid),
        }
        series = await in_turn(rounds, rounds=ROUNDS, calls=POLLS)
    report.add("aiohttp.web", "CPU of a poll", series["constant"].cpu, "us")
    report.add("emulator", "CPU of a poll", series["emulator"].cpu, "us")
    pairs = zip(series["constant"].usages, series["emulator"].usages, strict=True)
    ratio = Spread.of([constant.cpu / emulated.cpu for constant, emulated in pairs])
    report.add("emulator", "requests per CPU second / aiohttp.web", ratio, "x", at_least=MIN_RATIO)
    return report.finish()


if __name__ == "__main__":
    asyncio.run(serve()) if sys.argv[1:] == ["serve"] else sys.exit(asyncio.run(main()))
