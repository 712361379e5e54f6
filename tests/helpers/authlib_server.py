"""An independent authorization server: Authlib's device grant in a Flask app, in a thread, with the virtual clock.

Authlib implements the endpoints, their checks and their responses. This module adds what RFC 8628 leaves to the
operator of a server: where codes are stored, which clock is used, and when a poll is too fast.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any, Self

from attrs import define, field
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, RefreshTokenGrant, TokenMixin
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialDict
from flask import Flask, Response
from werkzeug.serving import WSGIRequestHandler, make_server

from twilio_oauth_async.clock import VirtualClock

ACTIVATE = "https://login.example.com/activate"


@define
class Client(ClientMixin):
    """The only registered app."""

    client_id: str = "OQauthlib"
    client_secret: str | None = None

    def get_client_id(self) -> str:
        return self.client_id

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.client_secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == ("none" if self.client_secret is None else "client_secret_post")

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {DeviceCodeGrant.GRANT_TYPE, RefreshTokenGrant.GRANT_TYPE}


@define
class StoredToken(TokenMixin):
    refresh_token: str
    scope: str
    revoked: bool = False

    def check_client(self, client: Client) -> bool:
        return True

    def get_scope(self) -> str:
        return self.scope

    def get_expires_in(self) -> int:
        return 3600

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self.revoked


@define
class Memory:
    """The state of the server."""

    clock: VirtualClock
    client: Client
    enforced_interval: float
    lifetime: float
    """Seconds until a code expires; the announced lifetime is `Endpoint.EXPIRES_IN`."""
    codes: dict[str, DeviceCredentialDict] = field(factory=dict)
    decisions: dict[str, bool] = field(factory=dict)
    tokens: list[StoredToken] = field(factory=list)
    polls: list[float] = field(factory=list)
    """Time of each poll, on the virtual clock."""

    def find(self, device_code: str) -> DeviceCredentialDict | None:
        self.polls.append(self.clock.monotonic())
        return self.codes.get(device_code)


class Credential(DeviceCredentialDict):
    """Authlib's class, but with the virtual clock."""

    def __init__(self, memory: Memory, **members: Any) -> None:
        super().__init__(**members)
        self.expires_at = memory.clock.monotonic() + memory.lifetime
        self.memory = memory

    def is_expired(self) -> bool:
        return self.memory.clock.monotonic() >= self.expires_at


class QuietHandler(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        pass


def build_app(memory: Memory) -> Flask:
    class Endpoint(DeviceAuthorizationEndpoint):
        EXPIRES_IN = 120

        def get_verification_uri(self) -> str:
            return ACTIVATE

        def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
            memory.codes[data["device_code"]] = Credential(memory, client_id=client_id, scope=scope, **data)

    class DeviceGrant(DeviceCodeGrant):
        def query_device_credential(self, device_code: str) -> DeviceCredentialDict | None:
            return memory.find(device_code)

        def query_user_grant(self, user_code: str) -> tuple[str, bool] | None:
            decision = memory.decisions.get(user_code)
            return None if decision is None else ("US1", decision)

        def should_slow_down(self, credential: DeviceCredentialDict) -> bool:
            *earlier, now = memory.polls
            return bool(earlier) and now - earlier[-1] < memory.enforced_interval

    class Refresh(RefreshTokenGrant):
        INCLUDE_NEW_REFRESH_TOKEN = True
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_post", "none")

        def authenticate_refresh_token(self, refresh_token: str) -> StoredToken | None:
            return next((t for t in memory.tokens if t.refresh_token == refresh_token and not t.revoked), None)

        def authenticate_user(self, credential: StoredToken) -> str:
            return "US1"

        def revoke_old_credential(self, credential: StoredToken) -> None:
            credential.revoked = True

    def save_token(token: dict[str, Any], _: object) -> None:
        memory.tokens.append(StoredToken(token["refresh_token"], token.get("scope", "")))

    app = Flask(__name__)
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    clients = {memory.client.client_id: memory.client}
    server = AuthorizationServer(app, query_client=clients.get, save_token=save_token)
    server.register_endpoint(Endpoint)
    server.register_grant(DeviceGrant)
    server.register_grant(Refresh)

    @app.post("/device_authorization")
    def device_authorization() -> Response:
        return server.create_endpoint_response("device_authorization")

    @app.post("/token")
    def token() -> Response:
        return server.create_token_response()

    return app


class AuthlibServer:
    """Runs the server until the block ends."""

    def __init__(
        self,
        clock: VirtualClock,
        *,
        client_secret: str | None = None,
        enforced_interval: float = 5.0,
        lifetime: float = 120.0,
    ) -> None:
        self.memory = Memory(clock, Client(client_secret=client_secret), enforced_interval, lifetime)
        self.client_id = self.memory.client.client_id

    def __enter__(self) -> Self:
        self._server = make_server("127.0.0.1", 0, build_app(self.memory), threaded=True, request_handler=QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.base_url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def decide(self, user_code: str, *, approve: bool) -> None:
        """Approve or deny a code, as a user does on the page of the server."""
        self.memory.decisions[user_code] = approve

    @property
    def gaps(self) -> list[float]:
        """Seconds between each two polls."""
        polls = self.memory.polls
        return [later - earlier for earlier, later in pairwise(polls)]
