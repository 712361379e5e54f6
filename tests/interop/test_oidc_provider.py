"""Our client with an independent server: the OpenID provider `oidc-provider` in Node.js."""

from __future__ import annotations

from datetime import timedelta

import pytest
import pytest_asyncio

from tests.helpers.oidc_provider import REDIRECT_URI, OidcProxy, oidc_provider
from twilio_oauth_async import (
    AccessDeniedError,
    Approved,
    AuthorizationCodeFlow,
    AuthorizationError,
    ClientCredentials,
    CodeIssued,
    DeviceCodeExpiredError,
    DeviceFlow,
    IdTokenVerifier,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    OAuthSession,
    Pending,
)

pytestmark = pytest.mark.asyncio

SCOPES = ["openid", "offline_access", "email"]
ALGORITHMS = pytest.mark.parametrize("options", [{"algorithm": name} for name in ("ES256", "RS256")], ids=str)


@pytest.fixture
def options():
    """Options of the server; tests parametrize them."""
    return {}


@pytest_asyncio.fixture
async def provider(node_folder, options):
    async with oidc_provider(node_folder, **{"algorithm": "ES256", **options}) as provider:
        yield provider


@pytest_asyncio.fixture
async def proxy(provider, clock):
    async with OidcProxy(provider.issuer, clock) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def session(provider, proxy, clock):
    async with OAuthSession(
        "AC1", "account-token", base_url=proxy.base_url, issuer=provider.issuer, clock=clock
    ) as session:
        yield session


@pytest.fixture
def flow(provider, session):
    """Make a device flow whose user approves at once, unless another prompt is given."""

    async def approve(authorization):
        await provider.decide(authorization.user_code, approve=True)

    def make(client_sid="OQpublic", **options):
        return DeviceFlow(session, **{"client_sid": client_sid, "scopes": SCOPES, "prompt": approve, **options})

    return make


async def event_types(flow, provider, *, approve, after):
    """Return the types of the events; the user decides after `after` pending polls."""
    seen = []
    async for event in flow.events():
        seen.append(type(event))
        if seen.count(Pending) == after and not isinstance(event, Approved):
            await provider.decide(event.authorization.user_code, approve=approve)
    return seen


async def test_instructions_reach_the_user(provider, flow):
    authorization = await flow().start()
    assert authorization.verification_uri == f"{provider.issuer}/device"
    assert authorization.verification_uri_complete.endswith(f"user_code={authorization.user_code}")
    assert authorization.interval == 5  # the server sends none


async def test_pending_then_approved(provider, proxy, flow):
    assert await event_types(flow(), provider, approve=True, after=2) == [CodeIssued, Pending, Pending, Approved]
    assert all(later - earlier >= 5 for earlier, later in zip(proxy.polls, proxy.polls[1:], strict=False))


async def test_token_has_type_scope_refresh_token_and_expiry(flow, clock):
    token = await flow().run()
    assert token.token_type == "Bearer"
    assert set(token.scope.split()) == set(SCOPES)
    assert token.refresh_token
    assert token.access_token_expires_at - clock.now() == timedelta(hours=1)


async def test_denied_request_ends_polling(provider, proxy, flow):
    with pytest.raises(AccessDeniedError) as denied:
        await event_types(flow(), provider, approve=False, after=1)
    assert denied.value.status == 400
    assert len(proxy.polls) == 2


async def test_expiry_by_the_server_has_status_400(provider, proxy, flow):
    async def wait_too_long(authorization):
        await provider.expire(authorization.user_code)

    with pytest.raises(DeviceCodeExpiredError) as expired:
        await flow(prompt=wait_too_long).run()
    assert expired.value.status == 400
    assert len(proxy.polls) == 1


async def test_expiry_by_the_clients_clock_has_no_status(flow, clock):
    with pytest.raises(DeviceCodeExpiredError) as expired:
        await flow(prompt=lambda _: None).run()
    assert expired.value.status is None
    assert clock.monotonic() < 300


async def test_refresh_rotates_and_a_second_use_revokes_the_grant(flow):
    signing_in = flow()
    first = await signing_in.run()
    second = await signing_in.refresh(first)
    assert second.access_token != first.access_token
    assert second.refresh_token not in {None, first.refresh_token}
    with pytest.raises(InvalidGrantError):
        await signing_in.refresh(first)
    with pytest.raises(InvalidGrantError):  # RFC 9700 4.14.2
        await signing_in.refresh(second)


@pytest.mark.parametrize("secret", ["right", "wrong", None])
async def test_confidential_app_needs_the_right_secret(provider, session, flow, clock, secret):
    # The contract has no parameter for the secret in the request for a code, so the proxy adds it.
    async with OidcProxy(provider.issuer, clock, app_secret="right") as proxy:
        session.base_url = proxy.base_url
        signing_in = flow("OQsecret", client_secret=secret)
        if secret == "right":
            assert (await signing_in.refresh(await signing_in.run())).access_token
        else:
            with pytest.raises(InvalidClientError):
                await signing_in.run()


async def test_unknown_app_is_invalid_client(flow):
    with pytest.raises(InvalidClientError):
        await flow("OQunknown").start()


async def test_app_that_may_not_use_the_device_flow_gets_the_error_of_the_server(proxy, flow):
    """This server sends ``invalid_request``, which has many other causes; only its description says which."""
    with pytest.raises(InvalidRequestError, match="device_code is not allowed for this client"):
        await flow("OQbrowser").run()
    assert proxy.polls == []


@ALGORITHMS
async def test_id_tokens_of_sign_in_and_refresh_are_verified(provider, session, flow, options):
    verifier = IdTokenVerifier(session, client_sid="OQpublic", algorithms=[options["algorithm"]])
    signing_in = flow(verifier=verifier)
    token = await signing_in.run()
    assert (await verifier.verify(token.id_token, access_token=token.access_token)).sub == provider.account
    refreshed = await signing_in.refresh(token)
    assert (await verifier.verify(refreshed.id_token)).sub == provider.account


async def test_user_info_belongs_to_the_user_of_the_id_token(provider, session, flow):
    token = await flow().run()
    user = await session.fetch_user_info(access_token=token.access_token, subject=provider.account)
    assert (user.user_sid, user.email) == (provider.account, "ada@example.com")


async def test_revoked_token_cannot_be_refreshed(flow):
    signing_in = flow()
    token = await signing_in.run()
    await signing_in.revoke(token)
    with pytest.raises(InvalidGrantError):
        await signing_in.refresh(token)


@pytest.mark.parametrize("client", [{"client_sid": "OQpublic"}, {"client_sid": "OQsecret", "client_secret": "right"}])
async def test_authorization_code_with_pkce_and_nonce_signs_in(provider, session, client):
    verifier = IdTokenVerifier(session, client_sid=client["client_sid"])
    signing_in = AuthorizationCodeFlow(
        session, **client, redirect_uri=REDIRECT_URI, scopes=["openid", "email"], api="v2", verifier=verifier
    )
    pending = await signing_in.start()
    token = await signing_in.finish(pending, await provider.browse(pending.url))
    claims = await verifier.verify(token.id_token, access_token=token.access_token, nonce=pending.nonce)
    assert claims.sub == provider.account


@pytest.mark.parametrize("options", [{"deny": True}])
async def test_denied_authorization_request_raises_authorization_error(provider, session):
    signing_in = AuthorizationCodeFlow(
        session, client_sid="OQpublic", redirect_uri=REDIRECT_URI, scopes=["openid"], api="v2"
    )
    pending = await signing_in.start()
    with pytest.raises(AuthorizationError) as denied:
        await signing_in.finish(pending, await provider.browse(pending.url))
    assert denied.value.error == "access_denied"


async def test_client_credentials_give_a_token_without_a_user(session, clock):
    token = await ClientCredentials(session, client_id="OQsecret", client_secret="right").obtain()
    assert token.refresh_token is None
    assert token.access_token_expires_at - clock.now() == timedelta(minutes=10)
