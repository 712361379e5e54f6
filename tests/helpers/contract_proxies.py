"""Two proxies that translate names: `RfcProxy` for the emulator, `ContractProxy` for a server that follows the RFCs."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urljoin

import aiohttp
from aiohttp import web

from tests.helpers import contract_names as names
from tests.helpers.client_secret_basic import ClientAuthenticationError, client_in_form
from twilio_oauth_async.emulator import Emulator

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Proxy:
    """An HTTP server on loopback that forwards requests to `target`."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.base_url = ""
        self.app = web.Application()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.http = await self._open.enter_async_context(aiohttp.ClientSession())
        runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._open.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.base_url = "http://{}:{}".format(*runner.addresses[0])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def forward(
        self, method: str, path: str, form: names.Pairs | None, headers: dict[str, str]
    ) -> tuple[int, Any, dict[str, str]]:
        """Send a request to the target; return the status, JSON body and relevant headers of the response."""
        body = None if form is None else urlencode(form)
        async with self.http.request(
            method, self.target + path, data=body, headers=headers | (FORM if body is not None else {})
        ) as response:
            kept = {name: response.headers[name] for name in ("WWW-Authenticate",) if name in response.headers}
            text = await response.text()
            return response.status, json.loads(text) if text else None, kept


async def form_of(request: web.Request) -> names.Pairs:
    return parse_qsl(await request.text(), keep_blank_values=True, strict_parsing=True)


class RfcProxy(Proxy):
    """An authorization server with the names of the RFCs, in front of the emulator's v1 API.

    It adds the account's Basic credentials, which the RFCs do not have. A client may use ``client_secret_basic``,
    ``client_secret_post`` or no secret. The device authorization endpoint of the contract has no parameter for the
    secret, so a wrong secret fails only at the token endpoint.
    """

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator.base_url)
        self._emulator = emulator
        self._account = {"Authorization": aiohttp.encode_basic_auth(emulator.account_sid, emulator.auth_token)}
        self.app.add_routes(
            [
                web.get("/.well-known/openid-configuration", self.discovery),
                web.get("/jwks", self.jwks),
                web.post("/device_authorization", self.device_authorization),
                web.post("/token", self.token),
                web.get("/userinfo", self.userinfo),
                web.post("/userinfo", self.userinfo),  # OpenID Connect Core 5.3 has GET and POST, the contract only GET
                web.post("/revoke", self.revoke),
            ]
        )

    async def discovery(self, _: web.Request) -> web.Response:
        _, body, _ = await self.forward("GET", "/v1/.well-known/openid-configuration", None, self._account)
        endpoints = {
            "jwks_uri": "/jwks",
            "device_authorization_endpoint": "/device_authorization",
            "token_endpoint": "/token",
            "userinfo_endpoint": "/userinfo",
            "revocation_endpoint": "/revoke",
        }
        document = names.renamed(body, names.DISCOVERY) | {
            name: self.base_url + path for name, path in endpoints.items()
        }
        algorithms = document["id_token_signing_alg_values_supported"]
        document["id_token_signing_alg_values_supported"] = [names.ALGORITHMS[name] for name in algorithms]
        document["token_endpoint_auth_methods_supported"] = ["client_secret_basic", "client_secret_post", "none"]
        return web.json_response(document)

    async def jwks(self, _: web.Request) -> web.Response:
        _, body, _ = await self.forward("GET", "/v1/certs", None, self._account)
        return web.json_response({"keys": [names.without_empty_key_ops(key) for key in body["keys"]]})

    async def device_authorization(self, request: web.Request) -> web.Response:
        status, body, headers = await self._post("/v1/device/code", request)
        if status == 201:
            status = 200  # RFC 8628 3.2
            for name in ("verification_uri", "verification_uri_complete"):
                body[name] = urljoin(self.target + "/", body[name])
        return web.json_response(body, status=status, headers=headers)

    async def token(self, request: web.Request) -> web.Response:
        status, body, headers = await self._post("/v1/token", request)
        if status == 201:
            status = 200  # RFC 6749 5.1
            expires_at = parsedate_to_datetime(body.pop("access_token_expires_at"))
            body.pop("refresh_token_expires_at")
            body["expires_in"] = round((expires_at - self._emulator.clock.now()).total_seconds())
            body = names.renamed(body, {}) | {"token_type": "Bearer"}
        return web.json_response(body, status=status, headers=headers)

    async def userinfo(self, request: web.Request) -> web.Response:
        bearer = {"Authorization": request.headers.get("Authorization", "")}
        status, body, headers = await self.forward("GET", "/v1/userinfo", None, bearer)
        return web.json_response(names.renamed(body, names.USER), status=status, headers=headers)

    async def revoke(self, request: web.Request) -> web.Response:
        # The emulator's revocation endpoint follows RFC 7009, so the request is forwarded as it is.
        client = {name: request.headers[name] for name in ("Authorization",) if name in request.headers}
        status, body, headers = await self.forward("POST", "/oauth2/revoke", await form_of(request), client)
        if body is None:
            return web.Response(status=status, headers=headers)  # RFC 7009 2.2: the client ignores the body
        return web.json_response(body, status=status, headers=headers)

    async def _post(self, path: str, request: web.Request) -> tuple[int, Any, dict[str, str]]:
        try:
            form = client_in_form(request.headers.get("Authorization"), await form_of(request))
        except ClientAuthenticationError as error:
            return error.status, error.body, error.headers
        return await self.forward("POST", path, names.to_contract(form), self._account)


class ContractProxy(Proxy):
    """Twilio's v1 API, in front of a server that follows the RFCs.

    It removes the account's Basic credentials, because that server knows only the app. If the contract has no parameter
    for the app's secret, it adds `app_secret` instead of them.
    """

    DEVICE_CODE = "/device_authorization"
    TOKEN = "/token"

    def __init__(self, server: str, app_secret: str | None = None) -> None:
        super().__init__(server)
        self._app_secret = [] if app_secret is None else [("client_secret", app_secret)]
        self.app.add_routes(
            [web.post("/v1/device/code", self.device_code), web.post("/v1/token", self.token)],
        )

    async def device_code(self, request: web.Request) -> web.Response:
        return await self._post(self.DEVICE_CODE, request, self._app_secret)

    async def token(self, request: web.Request) -> web.Response:
        return await self._post(self.TOKEN, request, [])

    async def _post(self, path: str, request: web.Request, added: names.Pairs) -> web.Response:
        status, body, headers = await self.forward("POST", path, names.to_rfc(await form_of(request)) + added, {})
        return web.json_response(body, status=status, headers=headers)
