"""A fake of api.twilio.com: sends given responses, or checks the token, and records the requests."""

import asyncio
import zlib
from typing import Any

import attrs
from aiohttp import web

UNAUTHORIZED_BODY = {
    "code": 20003,
    "message": "Authenticate",
    "more_info": "https://www.twilio.com/docs/errors/20003",
    "status": 401,
}
INVALID_TOKEN = 'Bearer realm="Twilio", error="invalid_token", error_description="expired"'


@attrs.frozen
class Received:
    method: str
    path: str
    authorization: list[str]
    """The values of all ``Authorization`` headers of the request."""
    body: bytes
    query: str


def unauthorized(
    *challenges: str,
    body: bytes | object = UNAUTHORIZED_BODY,
    chunked: bool = False,
    gzip: bool = False,
    status: int = 401,
):
    """A handler for an error response; by default 401 with Twilio's body and without a challenge."""

    async def respond(request: web.Request) -> web.StreamResponse:
        raw = body if isinstance(body, bytes) else web.json_response(body).body
        response = web.StreamResponse(status=status)
        for challenge in challenges:
            response.headers.add("WWW-Authenticate", challenge)
        response.content_type = "application/json"
        if gzip:
            compressor = zlib.compressobj(wbits=31)
            raw = compressor.compress(raw) + compressor.flush()
            response.headers["Content-Encoding"] = "gzip"
        if not chunked:
            response.content_length = len(raw)
        await response.prepare(request)
        await response.write(raw)
        return response

    return respond


def redirect(location: str, status: int = 302):
    async def respond(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": location})

    return respond


def ok(body: object = {"ok": True}):
    async def respond(request: web.Request) -> web.Response:
        return web.json_response(body)

    return respond


class ResourceServer:
    """``async with ResourceServer(first, second, …) as server``: one handler for each request, then the last again.

    Without handlers: 200 for the bearer token `accepted`, else 401 with Twilio's body.
    """

    def __init__(self, *handlers: Any, accepted: str | None = None, read_body: bool = True) -> None:
        self.handlers = list(handlers)
        self.read_body = read_body
        self.accepted = accepted
        self.received: list[Received] = []
        self.gate: asyncio.Event | None = None

    async def __aenter__(self):
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._respond)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        self.base_url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        body = await request.read() if self.read_body else b""
        self.received.append(
            Received(
                request.method,
                request.path,
                request.headers.getall("Authorization", []),
                body,
                request.query_string,
            )
        )
        number = len(self.received)
        if self.gate is not None:
            await self.gate.wait()
        if self.handlers:
            return await self.handlers[min(number, len(self.handlers)) - 1](request)
        is_accepted = request.headers.get("Authorization") == f"Bearer {self.accepted}"
        return await (ok() if is_accepted else unauthorized())(request)

    @property
    def tokens(self) -> list[list[str]]:
        return [received.authorization for received in self.received]
