"""Memory and CPU of a sign-in site with 1,000 browsers whose event streams are open.

    python benchmarks/event_streams.py [--browsers 1000] [--seconds 45]

The site runs in a process of its own, in aiohttp and in uvicorn, with stores in memory; so does the emulator. Each
browser starts a sign-in and opens its event stream. The site also polls: one poll each 5 s for each browser. Then all
sign-ins are approved, and the streams end. Memory of a stream is what the process grows by when the streams are opened,
after all sign-ins were started.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import socket
import sys
import time
from pathlib import Path

import uvicorn
from aiohttp import web
from emulator_process import EmulatorProcess, emulator_process
from harness import Report
from starlette.applications import Starlette

from twilio_oauth_async import DeviceFlow, DeviceFlowPool, MemoryTokenStore, OAuthSession
from twilio_oauth_async.web import SignInSite
from twilio_oauth_async.web.aiohttp import sign_in_app
from twilio_oauth_async.web.asgi import SignInApp

TICKS = os.sysconf("SC_CLK_TCK")
MAX_KIB, MAX_MILLISECONDS = 64.0, 1.0


async def serve(framework: str, port: int, emulator: list[str]) -> None:
    """Serve the site until the process is stopped."""
    base_url, account_sid, auth_token, client_sid, client_secret = emulator
    async with OAuthSession(account_sid, auth_token, base_url=base_url) as session:
        flow = DeviceFlow(session, client_sid=client_sid, client_secret=client_secret, scopes=["openid"])
        pool = DeviceFlowPool(flow, tokens=MemoryTokenStore())
        url = f"http://127.0.0.1:{port}/twilio"
        async with SignInSite(pool, url=url, app_name="Example", starts_per_address=1_000_000) as site:
            if framework == "aiohttp":
                app = web.Application()
                app.add_subapp("/twilio", sign_in_app(site))
                runner = web.AppRunner(app, access_log=None)
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", port, backlog=4_096).start()
                await asyncio.Event().wait()
            host = Starlette()
            host.mount("/twilio", SignInApp(site))
            config = uvicorn.Config(host, port=port, access_log=False, log_level="error", lifespan="off", backlog=4_096)
            await uvicorn.Server(config).serve()


class Browser:
    """One visitor, over plain sockets: the benchmark must not cost more than the server."""

    def __init__(self, port: int) -> None:
        self.port, self.cookie, self.code = port, "", ""

    async def send(self, method: str, path: str, body: str = "") -> str:
        """Send a request on a connection of its own, and return the response."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(self.request(method, path, body))
        response = (await reader.read()).decode()
        writer.close()
        found = re.search(r"set-cookie: ([^;]+);", response, re.IGNORECASE)
        self.cookie = found[1] if found else self.cookie
        return response

    def request(self, method: str, path: str, body: str = "") -> bytes:
        headers = f"Host: x\r\nConnection: close\r\nCookie: {self.cookie}\r\nContent-Length: {len(body)}\r\n"
        return f"{method} /twilio{path} HTTP/1.1\r\n{headers}\r\n{body}".encode()

    async def start(self) -> None:
        """Start a sign-in."""
        page = await self.send("GET", "/")
        csrf = re.search(r'name="csrf" value="(\w+)"', page)
        assert csrf is not None
        await self.send("POST", "/connect", f"csrf={csrf[1]}")
        code = re.search(r'class="user-code"[^>]*>([^<]+)<', await self.send("GET", "/"))
        assert code is not None
        self.code = code[1]

    async def open(self) -> None:
        """Open the event stream, and read its first event."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(self.request("GET", "/events"))
        await self.reader.readuntil(b'"pending"')

    async def end(self) -> float:
        """Read to the end of the stream; return when the sign-in was approved."""
        await self.reader.readuntil(b'"approved"')
        ended = time.perf_counter()
        self.writer.close()
        return ended


def cpu(pid: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int) -> float:
    """Return the resident memory of a process in KiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


async def measure(report: Report, framework: str, browsers: int, seconds: float, emulator: EmulatorProcess) -> None:
    """Measure one framework."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    fields = (emulator.base_url, emulator.account_sid, emulator.auth_token, emulator.client_sid, emulator.client_secret)
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve", framework, "--port", str(port), "--emulator", *fields
    )
    try:
        visitors = [Browser(port) for _ in range(browsers)]
        await until_it_listens(port)
        limit = asyncio.Semaphore(20)

        async def start(visitor: Browser) -> None:
            async with limit:
                await visitor.start()

        await asyncio.gather(*(start(visitor) for visitor in visitors))
        await asyncio.sleep(6)  # every sign-in was polled once
        before = memory(process.pid)
        for visitor in visitors:
            await visitor.open()
        await asyncio.sleep(1)
        streams, used = memory(process.pid) - before, cpu(process.pid)
        await asyncio.sleep(seconds)
        used = cpu(process.pid) - used
        ends = asyncio.gather(*(visitor.end() for visitor in visitors))
        approved = time.perf_counter()
        for visitor in visitors:
            emulator.send("approve", visitor.code)
        last = max(await ends)
    finally:
        process.terminate()
        await process.wait()
    polls = browsers * seconds / 5
    report.add(framework, "memory of a stream", streams / browsers, "KiB", at_most=MAX_KIB)
    report.add(framework, "CPU of the process, of one core", used / seconds * 100, "%")
    report.add(framework, "CPU for each poll, its stream included", used / polls * 1e3, "ms", at_most=MAX_MILLISECONDS)
    report.add(framework, "from the approvals to the last event", last - approved, "s", at_most=8.0)


async def until_it_listens(port: int) -> None:
    """Wait until the server accepts connections."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


async def main(options: argparse.Namespace) -> int:
    """Measure both frameworks."""
    report = Report(__file__, __doc__, packages=("aiohttp", "starlette", "sse-starlette", "uvicorn"))
    for framework in ("aiohttp", "asgi"):
        async with emulator_process(interval=5) as emulator:
            await measure(report, framework, options.browsers, options.seconds, emulator)
    return report.finish()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browsers", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--emulator", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.serve, given.port, given.emulator))
    else:
        sys.exit(asyncio.run(main(given)))
