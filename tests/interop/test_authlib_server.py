"""Our client with an independent server: Authlib's `DeviceCodeGrant`, which knows only the RFCs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.helpers.authlib_server import ACTIVATE, AuthlibServer
from tests.helpers.contract_proxies import ContractProxy
from twilio_oauth_async import (
    AccessDeniedError,
    ApiError,
    Approved,
    CodeIssued,
    DeviceCodeExpiredError,
    DeviceFlow,
    InvalidClientError,
    InvalidGrantError,
    OAuthSession,
    Pending,
    SlowedDown,
    VirtualClock,
)

pytestmark = pytest.mark.asyncio


@pytest.fixture
def server_options() -> dict[str, Any]:
    """Options of the server; tests parametrize them."""
    return {}


@pytest.fixture
def server(clock, server_options, monkeypatch):
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # allows plain HTTP, here on loopback
    with AuthlibServer(clock, **server_options) as server:
        yield server


@pytest_asyncio.fixture
async def session(server: AuthlibServer, clock: VirtualClock) -> AsyncIterator[OAuthSession]:
    async with (
        ContractProxy(server.base_url, server.memory.client.client_secret) as proxy,
        OAuthSession("AC1", "account-token", base_url=proxy.base_url, clock=clock) as session,
    ):
        yield session


def flow(server, session, **options):
    return DeviceFlow(session, client_sid=server.client_id, scopes=["openid", "email"], **options)


async def event_types(flow, server, *, decide=None, after=0):
    """Return the types of the events; the user approves or denies after `after` pending polls."""
    seen = []
    async for event in flow.events():
        seen.append(type(event))
        if decide is not None and seen.count(Pending) == after and not isinstance(event, Approved):
            server.decide(event.authorization.user_code, approve=decide)
    return seen


async def test_instructions_and_scopes_reach_the_user_and_the_server(server, session):
    authorization = await flow(server, session).start()
    assert authorization.verification_uri == ACTIVATE
    assert authorization.verification_uri_complete == f"{ACTIVATE}?user_code={authorization.user_code}"
    [credential] = server.memory.codes.values()
    assert credential["scope"] == "openid email"
    assert authorization.interval == 5


async def test_pending_then_approved(server, session):
    signing_in = flow(server, session)
    assert await event_types(signing_in, server, decide=True, after=2) == [CodeIssued, Pending, Pending, Approved]
    assert all(gap >= 5 for gap in server.gaps)


async def test_token_has_type_scope_refresh_token_and_expiry(server, session, clock):
    async def approve(authorization):
        server.decide(authorization.user_code, approve=True)

    token = await flow(server, session, prompt=approve).run()
    assert token.token_type == "Bearer"
    assert token.scope == "openid email"
    assert token.refresh_token == server.memory.tokens[0].refresh_token
    # Authlib sends expires_in; the contract has a date.
    assert token.access_token_expires_at - clock.now() == timedelta(hours=1)


@pytest.mark.parametrize("server_options", [{"enforced_interval": 8.0}])
async def test_slow_down_raises_all_later_intervals(server, session):
    signing_in = flow(server, session)
    assert await event_types(signing_in, server, decide=True, after=3) == [
        CodeIssued,
        Pending,
        SlowedDown,
        Pending,
        Pending,
        Approved,
    ]
    assert [round(gap) for gap in server.gaps] == [5, 10, 10, 10]


async def test_denied_request_ends_polling(server, session):
    with pytest.raises(AccessDeniedError) as denied:
        await event_types(flow(server, session), server, decide=False, after=1)
    assert denied.value.status == 400
    assert len(server.memory.polls) == 2


async def test_expiry_by_the_clients_clock_has_no_status(server, session, clock):
    with pytest.raises(DeviceCodeExpiredError) as expired:
        await flow(server, session, prompt=lambda _: None).run()
    assert expired.value.status is None
    assert clock.monotonic() < 120
    assert len(server.memory.polls) == 23


@pytest.mark.parametrize("server_options", [{"lifetime": 12.0}])
async def test_expiry_by_the_server_has_status_400(server, session):
    with pytest.raises(DeviceCodeExpiredError) as expired:
        await flow(server, session, prompt=lambda _: None).run()
    assert expired.value.status == 400
    assert len(server.memory.polls) == 3


async def test_refresh_rotates_and_old_refresh_token_is_rejected(server, session):
    signing_in = flow(server, session, prompt=lambda a: _approve(server, a))
    first = await signing_in.run()
    second = await signing_in.refresh(first)
    assert second.access_token != first.access_token
    assert second.refresh_token not in {None, first.refresh_token}
    with pytest.raises(InvalidGrantError):
        await signing_in.refresh(first)


@pytest.mark.parametrize("server_options", [{"client_secret": "right"}])
@pytest.mark.parametrize("secret", ["right", "wrong", None])
async def test_confidential_app_needs_the_right_secret(server, session, secret):
    signing_in = flow(server, session, client_secret=secret, prompt=lambda a: _approve(server, a))
    if secret == "right":
        assert (await signing_in.run()).access_token
    else:
        with pytest.raises(InvalidClientError):
            await signing_in.run()
        assert len(server.memory.polls) <= 1


async def test_unknown_app_is_invalid_client(server, session):
    with pytest.raises(ApiError) as error:
        await DeviceFlow(session, client_sid="OQ0", scopes=["openid"]).start()
    assert error.value.error == "invalid_client"


async def _approve(server, authorization):
    server.decide(authorization.user_code, approve=True)
