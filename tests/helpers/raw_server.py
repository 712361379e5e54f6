"""A server that says exactly the bytes it is told to: for what no HTTP framework would ever answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import attrs


@attrs.frozen
class RawRequest:
    method: str
    target: str
    headers: dict[str, list[str]]
    """Names in lower case; a header that came twice has two values."""
    body: bytes
    connection: int
    """The number of the connection it came on, from 0."""


Play = Callable[[asyncio.StreamWriter], Awaitable[None]]


def http(
    status: int = 200, body: bytes | object = b"", media_type: str | None = "application/json", **headers: str
) -> bytes:
    """One complete answer; `body` that is not bytes is written as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    if media_type is not None:
        lines.append(f"Content-Type: {media_type}")
    if "Content_Length" not in headers and "Transfer_Encoding" not in headers:
        lines.append(f"Content-Length: {len(raw)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


async def reset(writer: asyncio.StreamWriter) -> None:
    """Tear the connection down without a word."""
    writer.transport.abort()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close the connection in good order, without an answer."""
    writer.close()


async def silence(writer: asyncio.StreamWriter) -> None:
    """Keep the connection and say nothing until the other side has gone."""
    while not writer.transport.is_closing():
        await asyncio.sleep(0.01)


def then_reset(data: bytes) -> Play:
    """Send `data`, then tear the connection down."""

    async def play(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return play


def drip(data: bytes, pause: float = 0.02) -> Play:
    """A byte at a time."""

    async def play(writer: asyncio.StreamWriter) -> None:
        for i in range(len(data)):
            if writer.transport.is_closing():
                return
            writer.write(data[i : i + 1])
            await asyncio.sleep(pause)

    return play


class RawServer:
    """``async with RawServer(first, second, …) as server``: one answer a request, the last of them again and again."""

    def __init__(self, *answers: bytes | Play, ssl_context=None) -> None:
        self.answers = list(answers)
        self.requests: list[RawRequest] = []
        self.connections = 0
        self.bytes_received = 0
        self._ssl_context = ssl_context
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._ssl_context)
        host, port = self._server.sockets[0].getsockname()
        self.base_url = f"{'https' if self._ssl_context else 'http'}://{host}:{port}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        number = self.connections
        self.connections += 1
        try:
            while not writer.transport.is_closing():
                request = await self._read(reader, number)
                self.requests.append(request)
                answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # A test that is over cancels us: asyncio.start_server would report it as an error.
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _read(self, reader, number):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.lower(), []).append(value.strip())
        body = await reader.readexactly(int(headers.get("content-length", ["0"])[0]))
        self.bytes_received += len(head) + len(body)
        return RawRequest(method, target, headers, body, number)
