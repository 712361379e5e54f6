"""For any response, the parse functions return a model or one of the library's errors, which is safe to log.

`TWILIO_OAUTH_FUZZ_EXAMPLES` sets the number of responses; ``nox -s fuzz`` uses a million.
"""

import asyncio
import os
import pickle

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.hostile_responses import CONTEXT, PARSERS, RESPONSES
from tests.helpers.raw_server import RawServer, http
from twilio_oauth_async import ApiError, DeviceCode, OAuthSession, ProtocolError, RetryPolicy, Token, TwilioOAuthError
from twilio_oauth_async.protocol import polling

EXAMPLES = int(os.environ.get("TWILIO_OAUTH_FUZZ_EXAMPLES", "10000" if os.environ.get("CI") else "1000"))
MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(st.sampled_from(sorted(PARSERS)), RESPONSES)
def test_parsers_return_only_models_and_library_errors(name, response):
    outcome = PARSERS[name](response, CONTEXT)
    if not isinstance(outcome, TwilioOAuthError):
        assert 200 <= response.status < 300
        return
    assert isinstance(outcome, (ApiError, ProtocolError))
    text = str(outcome)
    assert text.isprintable()
    assert len(text) < 1200
    assert "canary-secret" not in text + repr(vars(outcome))
    assert str(pickle.loads(pickle.dumps(outcome))) == text
    if isinstance(outcome, ApiError):
        assert outcome.retry_after is None or 0 <= outcome.retry_after <= 86_400
        assert outcome.status == response.status


@settings(MANY, max_examples=max(EXAMPLES // 10, 100))
@given(RESPONSES, RESPONSES)
def test_polling_continues_after_any_response(first, second):
    code = PARSERS["device_code"](first, CONTEXT)
    if not isinstance(code, DeviceCode):
        code = DeviceCode(device_code="d", user_code="u", verification_uri="https://e")
    state, _ = polling.begin(code, client_sid="OQ1", scopes=["s"], audiences=[], now=CONTEXT.now)
    assert type(state).from_json(state.to_json()) == state
    outcome = PARSERS["token"](second, CONTEXT)
    step = polling.advance(state, outcome, CONTEXT.now)
    if isinstance(outcome, Token):
        assert step == polling.Approved(outcome)
    elif not isinstance(step, TwilioOAuthError):
        gap = (step.authorization.next_poll_at - CONTEXT.now).total_seconds()
        assert gap >= step.authorization.interval or polling.seconds_to_poll(step.authorization, CONTEXT.now) is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=20), st.booleans())
def test_response_split_into_any_pieces_is_parsed(sizes, chunked):
    body = b'{"keys": [{"kty": "EC", "kid": "IC1"}]}'
    whole = http(200, body)
    if chunked:
        pieces = [body[at : at + sizes[0]] for at in range(0, len(body), sizes[0])]
        encoded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        whole = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + encoded

    async def send_in_pieces(writer):
        rest = whole
        for size in [*sizes, len(whole)]:
            writer.write(rest[:size])
            rest = rest[size:]
            await writer.drain()
            await asyncio.sleep(0)

    async def fetch():
        async with (
            RawServer(send_in_pieces) as server,
            OAuthSession(base_url=server.base_url, retry=RetryPolicy.none()) as session,
        ):
            return await session.fetch_certs()

    assert asyncio.run(fetch()).keys == ({"kty": "EC", "kid": "IC1"},)
