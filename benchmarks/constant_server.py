"""Runs a server in a separate process that responds to each request with the same bytes.

It costs less CPU time than any client: it searches the request for one word, and parses nothing. It must be used on
loopback, where a request arrives whole. The child process prints its port when it is ready, and ends when its standard
input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json
import sys
from collections.abc import AsyncGenerator

PENDING_CODE = "pending"
"""A request that contains this word gets ``authorization_pending``; every other one gets a token."""

# Sizes and dates as in a response of Twilio: 2 KB, two dates of RFC 2822, tokens in JWT form.
TOKEN = {
    "access_token": f"{'a' * 40}.{'b' * 700}.{'c' * 86}",
    "access_token_expires_at": "Tue, 19 Jan 2038 03:14:07 +0000",
    "refresh_token": "d" * 256,
    "refresh_token_expires_at": "Fri, 19 Feb 2038 03:14:07 +0000",
    "id_token": f"{'e' * 40}.{'f' * 600}.{'g' * 86}",
    "token_type": "Bearer",
}
TOKEN_BODY = json.dumps(TOKEN).encode()
PENDING_BODY = json.dumps({"error": "authorization_pending", "error_description": "The user has not decided."}).encode()


class ConstantServer(asyncio.Protocol):
    """Responds to each request at once."""

    responses: tuple[bytes, bytes]
    """With a token, and while the user has not decided."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the responses."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Send the response."""
        self._transport.write(self.responses[PENDING_CODE.encode() in data])


def response(status: str, body: bytes) -> bytes:
    """Return the whole response, with the present time: the client compares it with its own clock."""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Date: {email.utils.formatdate(usegmt=True)}\r\nTwilio-Request-Id: RQ{'0' * 32}\r\n\r\n"
    )
    return head.encode() + body


async def serve() -> None:
    """Run the server until the standard input ends; called in the child process."""
    loop = asyncio.get_running_loop()

    def renew() -> None:
        ConstantServer.responses = (response("201 Created", TOKEN_BODY), response("400 Bad Request", PENDING_BODY))
        loop.call_later(0.5, renew)

    renew()
    server = await loop.create_server(ConstantServer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


@contextlib.asynccontextmanager
async def constant_server() -> AsyncGenerator[str]:
    """Start the child; yield its base URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(serve())
