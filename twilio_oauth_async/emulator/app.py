"""The aiohttp application: which handler serves which path, and what the HTTP server may log."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from twilio_oauth_async.emulator.control.http_routes import HttpControl
from twilio_oauth_async.emulator.control.overview import Overview
from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.middleware import EndpointMiddleware, Handler
from twilio_oauth_async.emulator.endpoints.v1 import ACTIVATE_PATH, Api
from twilio_oauth_async.emulator.endpoints.v2 import ApiV2
from twilio_oauth_async.emulator.pages.authorize import AUTHORIZE_CONSENT_PATH, AuthorizePages
from twilio_oauth_async.emulator.pages.csrf import CsrfProtection
from twilio_oauth_async.emulator.pages.device import CONSENT_PATH, DevicePages
from twilio_oauth_async.emulator.pages.rendering import STYLESHEET_PATH, error_page, stylesheet

_MAX_REQUEST_BYTES = 64 * 1024


def build_app(backend: Backend, overview: Overview, control: HttpControl | None = None) -> web.Application:
    """Return the application that serves `backend`, `overview`, and `control` if it is given."""
    csrf = CsrfProtection(backend.csrf_key)
    api, api_v2 = Api(backend), ApiV2(backend)
    device, authorize = DevicePages(backend, csrf), AuthorizePages(backend, csrf)
    # (method, endpoint name, handler, paths): the paths of Twilio's contract and those of the discovery document.
    routes: list[tuple[str, str, Handler, tuple[str, ...]]] = [
        ("GET", "discovery", api.discovery, ("/v1/.well-known/openid-configuration",)),
        ("GET", "metadata", api_v2.metadata, ("/.well-known/oauth-authorization-server",)),
        ("GET", "certs", api.certs, ("/v1/certs", "/oauth2/certs")),
        ("POST", "device_code", api.device_code, ("/v1/device/code", "/oauth2/device/code")),
        ("POST", "token", api.token, ("/v1/token", "/oauth2/token")),
        ("POST", "token", api_v2.token, ("/v2/token",)),
        ("GET", "userinfo", api.userinfo, ("/v1/userinfo", "/oauth2/userinfo")),
        ("POST", "revoke", api.revoke, ("/oauth2/revoke",)),
        ("GET", "authorize", authorize.authorize, ("/oauth2/authorize", "/v1/authorize", "/v2/authorize")),
        ("POST", "authorize", authorize.authorize, ("/oauth2/authorize", "/v1/authorize", "/v2/authorize")),
        ("POST", "consent", authorize.submit_decision, (AUTHORIZE_CONSENT_PATH,)),
        ("GET", "activate", device.show_code_form, (f"/{ACTIVATE_PATH}",)),
        ("POST", "activate", device.submit_code, (f"/{ACTIVATE_PATH}",)),
        ("POST", "consent", device.submit_decision, (CONSENT_PATH,)),
        ("GET", "done", device.show_approved, (f"{CONSENT_PATH}/approved",)),
        ("GET", "done", device.show_denied, (f"{CONSENT_PATH}/denied",)),
        ("GET", "stylesheet", stylesheet, (STYLESHEET_PATH,)),
    ]
    endpoints = {path: endpoint for _, endpoint, _, paths in routes for path in paths}
    endpoint_middleware = EndpointMiddleware(backend, lambda path: endpoints.get(path, ""), error_page)
    app = web.Application(
        # Control and the overview are first: their requests are not recorded in the journal and not hit by faults.
        middlewares=[
            *([] if control is None else [control.middleware()]),
            overview.middleware(),
            endpoint_middleware.middleware(),
        ],
        client_max_size=_MAX_REQUEST_BYTES,
        # By default, aiohttp takes over the debug mode of the event loop. Responses would then contain tracebacks.
        handler_args={"debug": False, "logger": _http_logger()},
    )
    for method, _, handler, paths in routes:
        for path in paths:
            app.router.add_route(method, path, handler)
            if method == "GET":  # RFC 9110 9.1: a server supports HEAD where it supports GET
                app.router.add_route("HEAD", path, handler)
    return app


def _http_logger() -> logging.Logger:
    """Return the logger of aiohttp's server, without records about malformed requests.

    aiohttp logs malformed HTTP as an error and quotes the line, which can be a header with a secret. It also logs a
    body that does not match its ``Content-Encoding``. The client gets a response with status 400 in both cases.
    """
    logger = logging.getLogger(__name__)
    logger.addFilter(_is_server_error)  # has no effect if it was added before
    return logger


def _is_server_error(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError | web.RequestPayloadError)
