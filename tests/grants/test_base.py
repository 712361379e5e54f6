"""Identity and refresh, which all grants share."""

import pytest

from twilio_oauth_async import (
    AuthorizationCodeFlow,
    ClientCredentials,
    DeviceFlow,
    GrantIdentity,
    LoginRequired,
    OAuthSession,
    Token,
)
from twilio_oauth_async.grants.base import refresh_with

SERVER = "https://oauth.twilio.com"


def test_identity_of_each_grant_names_client_server_scopes_and_audiences():
    session = OAuthSession()
    device = DeviceFlow(session, client_sid="OQ1", scopes=["openid", "a"], audiences=["api"])
    code = AuthorizationCodeFlow(session, client_sid="OQ2", scopes=["b"])
    program = ClientCredentials(session, client_id="OQ3", client_secret="s", scope="c d", audience="api")
    assert device.identity == GrantIdentity(client_sid="OQ1", server=SERVER, scopes=("openid", "a"), audiences=("api",))
    assert code.identity == GrantIdentity(client_sid="OQ2", server=SERVER, scopes=("b",))
    assert program.identity == GrantIdentity(client_sid="OQ3", server=SERVER, scopes=("c", "d"), audiences=("api",))
    assert [grant.interactive for grant in (device, code, program)] == [True, True, False]


def test_identity_server_is_the_base_url_of_the_session():
    session = OAuthSession(base_url="http://127.0.0.1:5000")
    assert DeviceFlow(session, client_sid="OQ1", scopes=["a"]).identity.server == "http://127.0.0.1:5000"


def test_identity_holds_no_secret():
    program = ClientCredentials(OAuthSession(), client_id="OQ3", client_secret="canary-secret")
    assert "canary" not in repr(program.identity)


@pytest.mark.asyncio
async def test_refresh_without_refresh_token_sends_nothing():
    async def send(refresh_token):
        pytest.fail("a request was sent")

    with pytest.raises(LoginRequired, match="no refresh token") as caught:
        await refresh_with(send, Token(access_token="a"))
    assert caught.value.reason == "expired"


@pytest.mark.asyncio
async def test_refresh_keeps_members_that_the_response_omits():
    async def send(refresh_token):
        assert refresh_token == "r1"
        return Token(access_token="a2")

    old = Token(access_token="a1", refresh_token="r1", id_token="i1", scope="s")
    assert await refresh_with(send, old) == Token(access_token="a2", refresh_token="r1", id_token="i1", scope="s")
