"""Paths to handlers: the whole server as one aiohttp application."""

from __future__ import annotations

from aiohttp import web

from twilio_oauth_async.emulator.control.http import Control
from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.exchange import Exchange, Handler
from twilio_oauth_async.emulator.endpoints.http_log import http_logger
from twilio_oauth_async.emulator.endpoints.v1 import ACTIVATE_PATH, Api
from twilio_oauth_async.emulator.endpoints.v2 import ApiV2
from twilio_oauth_async.emulator.pages.authorize import AUTHORIZE_CONSENT_PATH, AuthorizePages
from twilio_oauth_async.emulator.pages.device import CONSENT_PATH, DevicePages
from twilio_oauth_async.emulator.pages.rendering import STYLESHEET_PATH, PageMaker

_MAX_REQUEST_BYTES = 64 * 1024


def build_app(backend: Backend, control: Control | None = None) -> web.Application:
    """Return the application that serves `backend`, and `control` where there is one."""
    pages = PageMaker(backend.page_key)
    api, api_v2 = Api(backend), ApiV2(backend)
    device, authorize = DevicePages(backend, pages), AuthorizePages(backend, pages)
    # (method, endpoint name, handler, paths); what discovery announces stands beside what the contract has.
    routes: list[tuple[str, str, Handler, tuple[str, ...]]] = [
        ("GET", "discovery", api.discovery, ("/v1/.well-known/openid-configuration",)),
        ("GET", "certs", api.certs, ("/v1/certs", "/oauth2/certs")),
        ("POST", "device_code", api.device_code, ("/v1/device/code", "/oauth2/device/code")),
        ("POST", "token", api.token, ("/v1/token", "/oauth2/token")),
        ("POST", "token", api_v2.token, ("/v2/token",)),
        ("GET", "userinfo", api.userinfo, ("/v1/userinfo", "/oauth2/userinfo")),
        ("POST", "revoke", api.revoke, ("/oauth2/revoke",)),
        ("GET", "authorize", authorize.authorize, ("/oauth2/authorize", "/v1/authorize", "/v2/authorize")),
        ("POST", "authorize", authorize.authorize, ("/oauth2/authorize", "/v1/authorize", "/v2/authorize")),
        ("POST", "consent", authorize.decide, (AUTHORIZE_CONSENT_PATH,)),
        ("GET", "activate", device.enter, (f"/{ACTIVATE_PATH}",)),
        ("POST", "activate", device.look_up, (f"/{ACTIVATE_PATH}",)),
        ("POST", "consent", device.decide, (CONSENT_PATH,)),
        ("GET", "done", device.approved, (f"{CONSENT_PATH}/approved",)),
        ("GET", "done", device.denied, (f"{CONSENT_PATH}/denied",)),
        ("GET", "stylesheet", pages.stylesheet, (STYLESHEET_PATH,)),
    ]
    endpoints = {path: endpoint for _, endpoint, _, paths in routes for path in paths}
    exchange = Exchange(backend, lambda path: endpoints.get(path, ""), pages.refusal)
    app = web.Application(
        # Control comes first: what it takes neither the journal nor a fault gets to see.
        middlewares=[*([] if control is None else [control.middleware()]), exchange.middleware()],
        client_max_size=_MAX_REQUEST_BYTES,
        # debug follows the event loop's, and would put tracebacks into answers.
        handler_args={"debug": False, "logger": http_logger()},
    )
    for method, _, handler, paths in routes:
        for path in paths:
            app.router.add_route(method, path, handler)
    return app
