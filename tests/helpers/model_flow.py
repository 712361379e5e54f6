"""A device grant without a network: a strict server in memory, and the flow of one process."""

import asyncio
import itertools

import attrs

from twilio_oauth_async import errors
from twilio_oauth_async.grants.base import GrantIdentity
from twilio_oauth_async.protocol import polling
from twilio_oauth_async.protocol.models import DeviceCode, Token

SERVER, CLIENT, SCOPES = "https://model.example", "OQ1", ("openid",)
INTERVAL, LIFETIME = 12.0, 600.0


@attrs.define(eq=False)
class Code:
    """What the server knows of a device code."""

    state: str = "pending"
    exchanges: int = 0
    is_token_valid: bool = False
    polled_at: float | None = None
    interval: float = INTERVAL


class ModelServer:
    """Issues codes and tokens. A second exchange of a code revokes its token; early polls are recorded."""

    def __init__(self, clock):
        self.clock = clock
        self.codes = {}
        self.early = []
        self.lost = 0
        """The number of next responses that are lost."""
        self._numbers = itertools.count(1)

    def issue(self):
        code = f"device-{next(self._numbers)}"
        self.codes[code] = Code()
        return DeviceCode(
            device_code=code,
            user_code=code.upper(),
            verification_uri=f"{SERVER}/activate",
            expires_in=LIFETIME,
            interval=INTERVAL,
        )

    def poll(self, device_code):
        """Return the outcome of one poll."""
        code, now = self.codes[device_code], self.clock.monotonic()
        if code.polled_at is not None and now - code.polled_at < INTERVAL:
            self.early.append((device_code, now - code.polled_at))
        code.polled_at = now
        outcome = self._outcome(device_code, code)
        if self.lost:
            self.lost -= 1
            return errors.AnswerLostError("lost")
        return outcome

    def _outcome(self, device_code, code):
        if code.exchanges:
            code.is_token_valid = False
            return errors.InvalidGrantError(status=400, error="invalid_grant")
        if code.state == "denied":
            return errors.AccessDeniedError(status=400, error="access_denied")
        if code.state == "approved":
            code.exchanges, code.is_token_valid = 1, True
            return Token(access_token=f"token-of-{device_code}", refresh_token=f"refresh-of-{device_code}")
        return errors.AuthorizationPendingError(status=400, error="authorization_pending")


class ModelSession:
    """The part of a session that the pool and its managers use."""

    base_url = SERVER
    is_open = True
    clock_skew = 0.0

    def __init__(self, clock):
        self.clock = clock


class ModelFlow:
    """The `DeviceFlow` of one process."""

    interactive = True
    scopes = SCOPES
    audiences = ()
    client_sid = CLIENT

    def __init__(self, server):
        self.server = server
        self.session = ModelSession(server.clock)
        self.identity = GrantIdentity(client_sid=CLIENT, server=SERVER, scopes=SCOPES, audiences=())

    def __repr__(self):
        return "ModelFlow()"

    async def start(self):
        await asyncio.sleep(0)
        state, _ = polling.begin(
            self.server.issue(), client_sid=CLIENT, scopes=SCOPES, audiences=(), now=self.session.clock.now()
        )
        return state

    def poller(self, authorization, on_sent):
        return ModelPoller(self.server, self.session.clock, on_sent)

    async def obtain(self):
        raise NotImplementedError

    async def refresh(self, token):
        raise NotImplementedError

    async def revoke(self, token):
        await asyncio.sleep(0)
        self.server.codes[token.access_token.removeprefix("token-of-")].is_token_valid = False


class ModelPoller:
    """As `DevicePoller`: the wall clock is read once."""

    def __init__(self, server, clock, on_sent):
        from twilio_oauth_async.grants.device_poller import MonotonicNow

        self._on_sent = on_sent
        self._server, self._now = server, MonotonicNow(clock)

    async def poll(self, state):
        await asyncio.sleep(0)
        self._on_sent()
        outcome = self._server.poll(state.device_code)
        await asyncio.sleep(0)
        step = polling.advance(state, outcome, self._now())
        if isinstance(step, errors.TwilioOAuthError):
            raise step
        return step
