"""Our client against a server that is not ours: Authlib's `DeviceCodeGrant`, which knows the RFCs alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.helpers.authlib_server import ACTIVATE, AuthlibServer
from tests.helpers.contract_proxies import ContractFace
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
    """For a test to parametrize."""
    return {}


@pytest.fixture
def server(clock, server_options, monkeypatch):
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # plain HTTP, on loopback
    with AuthlibServer(clock, **server_options) as server:
        yield server


@pytest_asyncio.fixture
async def session(server: AuthlibServer, clock: VirtualClock) -> AsyncIterator[OAuthSession]:
    async with (
        ContractFace(server.base_url, server.memory.client.client_secret) as face,
        OAuthSession("AC1", "of the account", base_url=face.base_url, clock=clock) as session,
    ):
        yield session


def flow(server, session, **more):
    return DeviceFlow(session, client_sid=server.client_id, scopes=["openid", "email"], **more)


async def steps(flow, server, *, decide=None, after=0):
    """The kinds of what happens; the person decides after so many polls."""
    seen = []
    async for event in flow.events():
        seen.append(type(event))
        if decide is not None and seen.count(Pending) == after and not isinstance(event, Approved):
            server.decide(event.authorization.user_code, approve=decide)
    return seen


async def test_what_the_person_is_told(server, session):
    authorization = await flow(server, session).start()
    assert authorization.verification_uri == ACTIVATE
    assert authorization.verification_uri_complete == f"{ACTIVATE}?user_code={authorization.user_code}"
    [credential] = server.memory.codes.values()
    assert credential["scope"] == "openid email"
    assert authorization.interval == 5


async def test_pending_then_approval(server, session):
    signing_in = flow(server, session)
    assert await steps(signing_in, server, decide=True, after=2) == [CodeIssued, Pending, Pending, Approved]
    assert all(gap >= 5 for gap in server.gaps)


async def test_the_token(server, session, clock):
    async def approve(authorization):
        server.decide(authorization.user_code, approve=True)

    token = await flow(server, session, prompt=approve).run()
    assert token.token_type == "Bearer"
    assert token.scope == "openid email"
    assert token.refresh_token == server.memory.tokens[0].refresh_token
    # Authlib says expires_in where the contract has a date.
    assert token.access_token_expires_at - clock.now() == timedelta(hours=1)


@pytest.mark.parametrize("server_options", [{"demanded_interval": 8.0}])
async def test_slow_down_for_good(server, session):
    signing_in = flow(server, session)
    assert await steps(signing_in, server, decide=True, after=3) == [
        CodeIssued,
        Pending,
        SlowedDown,
        Pending,
        Pending,
        Approved,
    ]
    assert [round(gap) for gap in server.gaps] == [5, 10, 10, 10]


async def test_denial(server, session):
    with pytest.raises(AccessDeniedError) as denied:
        await steps(flow(server, session), server, decide=False, after=1)
    assert denied.value.status == 400
    assert len(server.memory.polls) == 2


async def test_expiry_by_our_own_clock(server, session, clock):
    with pytest.raises(DeviceCodeExpiredError) as expired:
        await flow(server, session, prompt=lambda _: None).run()
    assert expired.value.status is None
    assert clock.monotonic() < 120
    assert len(server.memory.polls) == 23


@pytest.mark.parametrize("server_options", [{"lifetime": 12.0}])
async def test_expiry_by_the_server_s(server, session):
    with pytest.raises(DeviceCodeExpiredError) as expired:
        await flow(server, session, prompt=lambda _: None).run()
    assert expired.value.status == 400
    assert len(server.memory.polls) == 3


async def test_refresh_with_rotation(server, session):
    signing_in = flow(server, session, prompt=lambda a: _approve(server, a))
    first = await signing_in.run()
    second = await signing_in.refresh(first)
    assert second.access_token != first.access_token
    assert second.refresh_token not in {None, first.refresh_token}
    with pytest.raises(InvalidGrantError):
        await signing_in.refresh(first)


@pytest.mark.parametrize("server_options", [{"client_secret": "right"}])
@pytest.mark.parametrize("secret", ["right", "wrong", None])
async def test_a_confidential_app(server, session, secret):
    signing_in = flow(server, session, client_secret=secret, prompt=lambda a: _approve(server, a))
    if secret == "right":
        assert (await signing_in.run()).access_token
    else:
        with pytest.raises(InvalidClientError):
            await signing_in.run()
        assert len(server.memory.polls) <= 1


async def test_an_unknown_app(server, session):
    with pytest.raises(ApiError) as refused:
        await DeviceFlow(session, client_sid="OQ0", scopes=["openid"]).start()
    assert refused.value.error == "invalid_client"


async def _approve(server, authorization):
    server.decide(authorization.user_code, approve=True)
