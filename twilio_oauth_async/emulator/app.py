"""Paths to handlers: the whole server as one aiohttp application."""

from __future__ import annotations

from aiohttp import web

from twilio_oauth_async.emulator.api import ACTIVATE_PATH, Api
from twilio_oauth_async.emulator.backend import Backend
from twilio_oauth_async.emulator.device_pages import CONSENT_PATH, DevicePages
from twilio_oauth_async.emulator.exchange import Handler, exchange_middleware

_MAX_REQUEST_BYTES = 64 * 1024
_STYLESHEET = "/assets/emulator.css"


def build_app(backend: Backend) -> web.Application:
    """Return the application that serves `backend`."""
    api = Api(backend)
    pages = DevicePages(backend)
    # (method, endpoint name, handler, paths); what discovery announces stands beside what the contract has.
    routes: list[tuple[str, str, Handler, tuple[str, ...]]] = [
        ("GET", "discovery", api.discovery, ("/v1/.well-known/openid-configuration",)),
        ("GET", "certs", api.certs, ("/v1/certs", "/oauth2/certs")),
        ("POST", "device_code", api.device_code, ("/v1/device/code", "/oauth2/device/code")),
        ("POST", "token", api.token, ("/v1/token", "/oauth2/token")),
        ("GET", "userinfo", api.userinfo, ("/v1/userinfo", "/oauth2/userinfo")),
        ("POST", "revoke", api.revoke, ("/oauth2/revoke",)),
        ("GET", "activate", pages.enter, (f"/{ACTIVATE_PATH}",)),
        ("POST", "activate", pages.look_up, (f"/{ACTIVATE_PATH}",)),
        ("POST", "consent", pages.decide, (CONSENT_PATH,)),
        ("GET", "done", pages.approved, (f"{CONSENT_PATH}/approved",)),
        ("GET", "done", pages.denied, (f"{CONSENT_PATH}/denied",)),
        ("GET", "stylesheet", pages.stylesheet, (_STYLESHEET,)),
    ]
    endpoints = {path: endpoint for _, endpoint, _, paths in routes for path in paths}
    app = web.Application(
        middlewares=[exchange_middleware(backend, lambda request: endpoints.get(request.path, ""))],
        client_max_size=_MAX_REQUEST_BYTES,
    )
    for method, _, handler, paths in routes:
        for path in paths:
            app.router.add_route(method, path, handler)
    return app
