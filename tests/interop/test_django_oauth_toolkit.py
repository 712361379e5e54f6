"""Our client with an independent server: django-oauth-toolkit, whose grants are those of oauthlib."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urljoin

import aiohttp
import pytest
import pytest_asyncio

from tests.helpers.openid_proxy import OpenidProxy
from twilio_oauth_async import (
    AccessDeniedError,
    Approved,
    AuthorizationCodeFlow,
    ClientCredentials,
    CodeIssued,
    DeviceCodeExpiredError,
    DeviceFlow,
    IdTokenError,
    IdTokenVerifier,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    OAuthSession,
    Pending,
)

pytest.importorskip("oauth2_provider", reason="django-oauth-toolkit is not installed (dependency group interop)")
pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCOUNT = "US" + "1f" * 16
REDIRECT_URI = "http://127.0.0.1:8400/callback"


class DjangoProxy(OpenidProxy):
    DEVICE_CODE = "/o/device-authorization/"
    TOKEN = "/o/token/"
    AUTHORIZE = "/o/authorize/"
    JWKS = "/o/.well-known/jwks.json"
    OPENID_CONFIGURATION = "/o/.well-known/openid-configuration"
    REVOKE = "/o/revoke_token/"
    USER_INFO = "/o/userinfo/"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server():
    """The URL of the server, which takes two seconds to start. Each test has its own codes and tokens."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.helpers.django_server"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        yield f"http://127.0.0.1:{json.loads(line)['port']}"
    finally:
        process.stdin.close()
        await process.wait()


async def decide(server, user_code, status):
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{server}/control/", json={"user_code": user_code, "status": status}) as response:
            assert response.status == 200


@asynccontextmanager
async def connected(server, clock, app_secret=None):
    """Yield the proxy and a session over it."""
    async with DjangoProxy(server, clock, app_secret) as proxy:
        options = {"base_url": proxy.base_url, "issuer": f"{server}/o", "clock": clock}
        async with OAuthSession("AC1", "account-token", **options) as session:
            yield proxy, session


@pytest_asyncio.fixture(loop_scope="module")
async def proxy_and_session(server, clock):
    async with connected(server, clock) as both:
        yield both


@pytest.fixture
def session(proxy_and_session):
    return proxy_and_session[1]


@pytest.fixture
def proxy(proxy_and_session):
    return proxy_and_session[0]


def device_flow(server, session, client_sid="OQpublic", decision="authorized", **options):
    """Return a device flow whose user decides at once."""

    async def prompt(authorization):
        await decide(server, authorization.user_code, decision)

    return DeviceFlow(session, **{"client_sid": client_sid, "scopes": ["openid", "email"], "prompt": prompt, **options})


async def test_instructions_reach_the_user(server, session):
    authorization = await device_flow(server, session).start()
    assert authorization.verification_uri == "https://login.example.com/device"
    assert authorization.interval == 5


async def test_pending_then_approved(server, session, proxy):
    seen = []
    async for event in device_flow(server, session).events():
        seen.append(type(event))
        if seen[-1] is Pending and seen.count(Pending) == 2:
            await decide(server, event.authorization.user_code, "authorized")
    assert seen == [CodeIssued, Pending, Pending, Approved]
    assert all(later - earlier >= 5 for earlier, later in zip(proxy.polls, proxy.polls[1:], strict=False))


@pytest.mark.parametrize(
    ("decision", "kind", "status"), [("denied", AccessDeniedError, 400), ("expired", DeviceCodeExpiredError, 400)]
)
async def test_denied_or_expired_request_ends_polling(server, session, proxy, decision, kind, status):
    with pytest.raises(kind) as ended:
        await device_flow(server, session, decision=decision).run()
    assert ended.value.status == status
    assert len(proxy.polls) == 1


async def test_token_rotates_and_a_second_use_revokes_the_grant(server, session, clock):
    signing_in = device_flow(server, session)
    first = await signing_in.run()
    assert (first.token_type, set(first.scope.split())) == ("Bearer", {"openid", "email"})
    assert timedelta(hours=9) < first.access_token_expires_at - clock.now() <= timedelta(hours=10)
    second = await signing_in.refresh(first)
    assert second.refresh_token not in {None, first.refresh_token}
    for used in (first, second):  # RFC 9700 4.14.2
        with pytest.raises(InvalidGrantError):
            await signing_in.refresh(used)


async def test_sign_in_without_an_id_token_is_refused_by_a_flow_with_a_verifier(server, session):
    """This server issues none in the device grant, although it grants the scope openid."""
    verifier = IdTokenVerifier(session, client_sid="OQpublic")
    with pytest.raises(IdTokenError, match="no ID token, although the scope openid was requested"):
        await device_flow(server, session, verifier=verifier).run()
    assert (await device_flow(server, session, scopes=["email"], verifier=verifier).run()).id_token is None


async def test_user_info_belongs_to_the_user(server, session):
    token = await device_flow(server, session).run()
    user = await session.fetch_user_info(access_token=token.access_token, subject=ACCOUNT)
    assert (user.first_name, user.email) == ("Ada", "ada@example.com")


async def test_revoked_token_cannot_be_refreshed(server, session):
    signing_in = device_flow(server, session)
    token = await signing_in.run()
    await signing_in.revoke(token)
    with pytest.raises(InvalidGrantError):
        await signing_in.refresh(token)


@pytest.mark.parametrize("secret", ["right", "wrong"])
async def test_confidential_app_needs_the_right_secret(server, clock, secret):
    async with connected(server, clock, app_secret="right") as (_, session):
        signing_in = device_flow(server, session, "OQsecret", client_secret=secret)
        if secret == "right":
            assert (await signing_in.run()).access_token
        else:
            with pytest.raises(InvalidClientError):
                await signing_in.run()


async def test_unknown_app_is_refused(server, session):
    with pytest.raises(InvalidRequestError, match="client_id"):  # oauthlib does not send invalid_client here
        await device_flow(server, session, "OQunknown").start()


async def test_authorization_code_with_pkce_signs_in(session):
    signing_in = AuthorizationCodeFlow(
        session, client_sid="OQbrowser", redirect_uri=REDIRECT_URI, scopes=["openid"], api="v2"
    )
    pending = await signing_in.start()
    url = pending.url
    async with aiohttp.ClientSession() as browser:
        while not url.startswith(REDIRECT_URI):
            async with browser.get(url, allow_redirects=False) as response:
                assert response.status == 302, await response.text()
                url = urljoin(url, response.headers["Location"])
    token = await signing_in.finish(pending, url)
    claims = await IdTokenVerifier(session, client_sid="OQbrowser").verify(token.id_token, nonce=pending.nonce)
    assert claims.sub == ACCOUNT


async def test_client_credentials_give_a_token_without_a_user(session):
    token = await ClientCredentials(session, client_id="OQprogram", client_secret="right", scope="email").obtain()
    assert (token.refresh_token, token.scope) == (None, "email")
