"""v1 and v2 of Twilio's API, in front of an OpenID provider: more endpoints than those of `ContractProxy`."""

from __future__ import annotations

from aiohttp import web

from tests.helpers import contract_names as names
from tests.helpers.contract_proxies import ContractProxy, form_of
from twilio_oauth_async.clock import VirtualClock

DISCOVERY = {rfc: contract for contract, rfc in names.DISCOVERY.items()}
USER = {rfc: contract for contract, rfc in names.USER.items()}


class OpenidProxy(ContractProxy):
    """The proxy. A subclass has the paths of its server."""

    AUTHORIZE: str
    JWKS: str
    OPENID_CONFIGURATION = "/.well-known/openid-configuration"
    REVOKE: str
    USER_INFO: str

    def __init__(self, server: str, clock: VirtualClock, app_secret: str | None = None) -> None:
        super().__init__(server, app_secret)
        self._clock = clock
        self.polls: list[float] = []
        """The virtual time of each poll."""
        self.app.add_routes(
            [
                web.get("/v1/.well-known/openid-configuration", self.discovery),
                web.get("/v1/certs", self.certs),
                web.get("/v1/userinfo", self.user_info),
                web.get("/v2/authorize", self.authorize),
                web.post("/v2/token", self.token_v2),
                web.post("/revoke", self.revoke),
            ]
        )

    async def token(self, request: web.Request) -> web.Response:
        if dict(await form_of(request)).get("DeviceCode"):
            self.polls.append(self._clock.monotonic())
        return await super().token(request)

    async def token_v2(self, request: web.Request) -> web.Response:
        return await self._post_unchanged(self.TOKEN, request)

    async def revoke(self, request: web.Request) -> web.Response:
        return await self._post_unchanged(self.REVOKE, request)

    async def authorize(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{self.target}{self.AUTHORIZE}?{request.query_string}")

    async def discovery(self, _: web.Request) -> web.Response:
        _, body, _ = await self.forward("GET", self.OPENID_CONFIGURATION, None, {})
        body["revocation_endpoint"] = f"{self.base_url}/revoke"
        return web.json_response(names.renamed(body, DISCOVERY))

    async def certs(self, _: web.Request) -> web.Response:
        _, body, _ = await self.forward("GET", self.JWKS, None, {})
        return web.json_response(body)

    async def user_info(self, request: web.Request) -> web.Response:
        bearer = {"Authorization": request.headers.get("Authorization", "")}
        status, body, headers = await self.forward("GET", self.USER_INFO, None, bearer)
        return web.json_response(names.renamed(body, USER), status=status, headers=headers)

    async def _post_unchanged(self, path: str, request: web.Request) -> web.Response:
        status, body, headers = await self.forward("POST", path, await form_of(request), {})
        return web.json_response(body, status=status, headers=headers)
