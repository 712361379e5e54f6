"""Runs a server in a separate process that responds to each request with the same bytes.

It costs less CPU time than any client: it searches the request for a few words, and parses nothing. It must be used on
loopback, where a request arrives whole. The child process prints its port when it is ready, and ends when its standard
input ends. It can respond late, and count the polls that come before the interval of their device code has passed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import email.utils
import json
import sys
import time
from collections.abc import AsyncGenerator

PENDING_CODE = "pending"
"""A request that contains this word gets ``authorization_pending``; every other one gets a token."""


def _base64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


HEADER = {"alg": "ES256", "kid": "1"}
CLAIMS = {
    "iss": "https://iam.twilio.com",
    "aud": "OQ" + "2" * 32,
    "sub": "US" + "3" * 32,
    "iat": 1_800_000_000,
    "exp": 2_000_000_000,
    "name": "n" * 280,
}
# Sizes and dates as in a response of Twilio: 2 KB, two dates of RFC 2822, tokens in JWT form.
TOKEN = {
    "access_token": f"{'a' * 40}.{'b' * 700}.{'c' * 86}",
    "access_token_expires_at": "Tue, 19 Jan 2038 03:14:07 +0000",
    "refresh_token": "d" * 256,
    "refresh_token_expires_at": "Fri, 19 Feb 2038 03:14:07 +0000",
    "id_token": f"{_base64(HEADER)}.{_base64(CLAIMS)}.{'g' * 86}",
    "token_type": "Bearer",
}
TOKEN_BODY = json.dumps(TOKEN).encode()
PENDING_BODY = json.dumps({"error": "authorization_pending", "error_description": "The user has not decided."}).encode()


class ConstantServer(asyncio.Protocol):
    """Responds to each request, at once or after `delay`."""

    responses: tuple[bytes, bytes]
    """With a token, and while the user has not decided."""
    delay = 0.0
    """Seconds before each response."""
    interval = 0.0
    """Seconds; 0: polls are not timed."""
    early = 0
    longest = 0.0
    polled_at: dict[bytes, float] = {}  # noqa: RUF012 - one server in a process

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the responses."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Send the response."""
        if data.startswith(b"GET /timing"):
            kind = ConstantServer
            timing = {"early": kind.early, "longest": kind.longest, "flows": len(kind.polled_at)}
            kind.early, kind.longest = 0, 0.0
            self._transport.write(response("200 OK", json.dumps(timing).encode()))
            return
        if self.interval:
            self._time(data.rpartition(b"DeviceCode=")[2])
        respond = self.responses[PENDING_CODE.encode() in data]
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self._transport.write, respond)
        else:
            self._transport.write(respond)

    def _time(self, code: bytes) -> None:
        kind, now = ConstantServer, time.monotonic()
        before = kind.polled_at.get(code)
        if before is not None:
            kind.early += now - before < self.interval
            kind.longest = max(kind.longest, now - before)
        kind.polled_at[code] = now


def response(status: str, body: bytes) -> bytes:
    """Return the whole response, with the present time: the client compares it with its own clock."""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Date: {email.utils.formatdate(usegmt=True)}\r\nTwilio-Request-Id: RQ{'0' * 32}\r\n\r\n"
    )
    return head.encode() + body


async def serve(interval: float, delay: float) -> None:
    """Run the server until the standard input ends; called in the child process."""
    loop = asyncio.get_running_loop()
    ConstantServer.interval, ConstantServer.delay = interval, delay

    def renew() -> None:
        ConstantServer.responses = (response("201 Created", TOKEN_BODY), response("400 Bad Request", PENDING_BODY))
        loop.call_later(0.5, renew)

    renew()
    server = await loop.create_server(ConstantServer, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


@contextlib.asynccontextmanager
async def constant_server(*, interval: float = 0.0, delay: float = 0.0) -> AsyncGenerator[str]:
    """Start the child; yield its base URL.

    Args:
        interval: seconds; ``GET /timing`` returns how many polls came earlier than that after the poll before, and the
            longest time between two polls of one device code.
        delay: seconds before each response.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, str(interval), str(delay)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(serve(*map(float, sys.argv[1:3] or ("0", "0"))))
