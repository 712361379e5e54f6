"""A stand-in for api.twilio.com: says what it is told to, or looks at the token, and remembers what it got."""

import asyncio
import zlib
from typing import Any

import attrs
from aiohttp import web

UNAUTHORIZED = {
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
    """Every such header that came: none, one, or too many."""
    body: bytes
    query: str


def refusal(
    *challenges: str, body: bytes | object = UNAUTHORIZED, chunked: bool = False, gzip: bool = False, status: int = 401
):
    """A 401 unless said otherwise, by default with Twilio's body and without a challenge."""

    async def answer(request: web.Request) -> web.StreamResponse:
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

    return answer


def redirect(location: str, status: int = 302):
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": location})

    return answer


def ok(body: object = {"ok": True}):
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(body)

    return answer


class ResourceServer:
    """``async with ResourceServer(first, second, …) as server``: one answer a request, the last again and again.

    Without answers: 200 for the bearer token `accepted`, else a 401 as Twilio gives it.
    """

    def __init__(self, *answers: Any, accepted: str | None = None, reads_first: bool = True) -> None:
        self.answers = list(answers)
        self.reads_first = reads_first
        self.accepted = accepted
        self.received: list[Received] = []
        self.gate: asyncio.Event | None = None

    async def __aenter__(self):
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        self.base_url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read() if self.reads_first else b""
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
        if self.answers:
            return await self.answers[min(number, len(self.answers)) - 1](request)
        good = request.headers.get("Authorization") == f"Bearer {self.accepted}"
        return await (ok() if good else refusal())(request)

    @property
    def tokens(self) -> list[list[str]]:
        return [received.authorization for received in self.received]
