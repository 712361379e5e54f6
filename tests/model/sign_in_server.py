"""The authorization server in a world of two pools. It is strict: a code that is used twice revokes its token."""

from tests.model.sign_in_invariants import check_exchange
from tests.model.sign_in_world import TOKEN
from twilio_oauth_async.errors import (
    AccessDeniedError,
    AnswerLostError,
    AuthorizationPendingError,
    DeviceCodeExpiredError,
    InvalidGrantError,
    RateLimitedError,
    SlowDownError,
    TransportError,
)
from twilio_oauth_async.protocol import polling

RESPONSES = {
    "token": TOKEN,
    "pending": AuthorizationPendingError(status=400),
    "slow_down": SlowDownError(status=400),
    "denied": AccessDeniedError(status=400),
    "expired": DeviceCodeExpiredError(status=400),
    "invalid_grant": InvalidGrantError(status=400),
    "overload": RateLimitedError(status=429, retry_after=20.0),
    "not sent": TransportError("model"),
    "lost": AnswerLostError("model"),
}
"""Of a poll, by what the labels of moves call them; the last ones are failures."""


def process_poll(draft, sent):
    """Process a poll that was sent; return the response."""
    server = draft.server
    if draft.now >= server.expires_at:
        return "expired"
    if not server.decision:
        return "pending"
    if server.decision == "denied":
        return "denied"
    if server.is_exchanged:
        check_exchange(draft, sent)
        draft.server = server._replace(is_alive=False)
        return "invalid_grant"
    draft.server = server._replace(is_exchanged=True, is_alive=True)
    return "token"


def ask_for_less(draft):
    """Process a poll with ``slow_down``, because the server has much to do."""
    draft.server = draft.server._replace(interval=draft.server.interval + polling.SLOW_DOWN_STEP)
    return "slow_down"


def step_of(life, response, now):
    """Return the step of `polling` after a response, or the error that ends the flow."""
    return polling.advance(life.flow.authorization, RESPONSES[response], life.steady(now))
