"""A server that sends exactly the bytes of a script: for responses that no HTTP framework would send.

`RawServer` is the server, `http` makes a well-formed response, and `reset`, `hang_up`, `silence`, `send_and_close` and
`drip` misbehave. With a session and a clock beside it, it is ``scripted`` (scripted_server.py).
"""

import asyncio
import json
from collections.abc import Awaitable, Callable

import attrs


@attrs.frozen
class RawRequest:
    method: str
    target: str
    headers: dict[str, list[str]]
    """Names in lower case; a header that was sent twice has two values."""
    body: bytes
    connection: int
    """The number of its connection, from 0."""
    time: float | None
    """On the monotonic side of the server's clock; None where it has no clock."""


Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


def http(
    status: int = 200, body: bytes | object = b"", media_type: str | None = "application/json", **headers: str
) -> bytes:
    """Return one complete response; a `body` that is not bytes is written as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Reason", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    if media_type is not None:
        lines.append(f"Content-Type: {media_type}")
    if "Content_Length" not in headers and "Transfer_Encoding" not in headers:
        lines.append(f"Content-Length: {len(raw)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


async def reset(writer: asyncio.StreamWriter) -> None:
    """Reset the connection without a response."""
    writer.transport.abort()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close the connection without a response."""
    writer.close()


async def silence(writer: asyncio.StreamWriter) -> None:
    """Keep the connection open and send nothing until the client closes it."""
    while not writer.transport.is_closing():
        await asyncio.sleep(0.01)


def send_and_close(data: bytes) -> Behaviour:
    """Return a behaviour that sends `data` and closes the connection."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return behave


def drip(data: bytes, pause: float = 0.02) -> Behaviour:
    """Return a behaviour that sends `data` byte by byte, with `pause` seconds in between."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        for i in range(len(data)):
            if writer.transport.is_closing():
                return
            writer.write(data[i : i + 1])
            await asyncio.sleep(pause)

    return behave


class RawServer:
    """``async with RawServer(first, second, ...) as server``: one response for each request, the last for all others.

    A response is bytes or a `Behaviour`. `requests` records what was received; with `clock`, also when.
    """

    def __init__(self, *responses: bytes | Behaviour, ssl_context=None, clock=None) -> None:
        self.responses = list(responses)
        self.requests: list[RawRequest] = []
        self.connections = 0
        self.bytes_received = 0
        self._ssl_context = ssl_context
        self._clock = clock
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
                response = self.responses[min(len(self.requests), len(self.responses)) - 1]
                if isinstance(response, bytes):
                    writer.write(response)
                    await writer.drain()
                else:
                    await response(writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # __aexit__ cancels the connections that are open; asyncio.start_server would report this as an error.
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
        time = None if self._clock is None else self._clock.monotonic()
        return RawRequest(method, target, headers, body, number, time)
