"""`OAuthSession`: revocation, the v2 token endpoint, and user info with an expected subject."""

from urllib.parse import parse_qsl

import pytest

from tests.helpers.raw_server import RawServer, hang_up, http
from tests.helpers.scripted_server import scripted
from tests.helpers.world import emulated
from twilio_oauth_async import (
    AnswerLostError,
    ConfigurationError,
    IdTokenError,
    InvalidClientError,
    ProtocolError,
    RevocationUnsupported,
    ServerError,
)

ISSUER = "https://iam.twilio.com"
SUBJECT = "US" + "1" * 32


def discovery(server, **members):
    return http(200, {"issuer": ISSUER, "revocation_endpoint": f"{server.base_url}/oauth2/revoke", **members})


class TestRevocation:
    @pytest.mark.asyncio
    @pytest.mark.parametrize("body", [b"", b"<html>", b'{"error":"ignored"}'])
    async def test_revoke_token_ignores_success_body_and_fetches_discovery_once(self, body):
        async with scripted() as (server, session):
            server.responses = [discovery(server), http(200, body, None)]
            await session.revoke_token("tok", client_sid="OQ1", client_secret="s")
            await session.revoke_token("tok2", client_sid="OQ1")
        assert [request.target for request in server.requests] == [
            "/v1/.well-known/openid-configuration",
            "/oauth2/revoke",
            "/oauth2/revoke",
        ]
        assert server.requests[1].method == "POST"
        assert parse_qsl(server.requests[1].body.decode()) == [
            ("token", "tok"),
            ("client_id", "OQ1"),
            ("client_secret", "s"),
        ]

    @pytest.mark.asyncio
    @pytest.mark.parametrize(("response", "kind"), [(http(503, b"", None), ServerError), (hang_up, AnswerLostError)])
    async def test_revoke_token_failure_raises_and_is_not_retried(self, response, kind):
        async with scripted() as (server, session):
            server.responses = [discovery(server), response]
            with pytest.raises(kind):
                await session.revoke_token("tok", client_sid="OQ1")
            assert len(server.requests) == 2

    @pytest.mark.asyncio
    async def test_revoke_token_with_endpoint_on_foreign_host_sends_nothing(self):
        async with RawServer(http(200, b"")) as attacker, scripted() as (server, session):
            server.responses = [discovery(server, revocation_endpoint=attacker.base_url + "/revoke")]
            for _ in range(2):
                with pytest.raises(ProtocolError):
                    await session.revoke_token("tok", client_sid="OQ1")
            # A rejected document is not cached: each call fetches it.
            assert len(server.requests) == 2
        assert attacker.requests == []

    @pytest.mark.asyncio
    async def test_revoke_token_without_revocation_endpoint_raises_and_sends_no_token(self):
        async with scripted(http(200, {"issuer": ISSUER})) as (server, session):
            with pytest.raises(RevocationUnsupported, match="no revocation_endpoint") as caught:
                await session.revoke_token("tok", client_sid="OQ1")
            assert [request.target for request in server.requests] == ["/v1/.well-known/openid-configuration"]
        # It says something about the server; the call was right.
        assert not isinstance(caught.value, ConfigurationError)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("arguments", [{"token": ""}, {"token": "a\n"}, {"client_sid": ""}])
    async def test_revoke_token_with_invalid_argument_raises(self, arguments):
        async with scripted() as (server, session):
            server.responses = [discovery(server)]
            with pytest.raises(ConfigurationError):
                await session.revoke_token(**{"token": "tok", "client_sid": "OQ1", **arguments})


class TestCreateTokenV2:
    @pytest.mark.asyncio
    async def test_create_token_v2_sends_all_parameters_without_session_credentials(self):
        async with (
            scripted(http(200, {"access_token": "a", "expires_in": 60})) as (server, session),
        ):
            token = await session.create_token_v2(
                grant_type="g",
                client_id="OQ1",
                client_secret="s",
                code="c",
                code_verifier="v",
                redirect_uri="http://127.0.0.1:1/cb",
                audience="api",
                refresh_token="r",
                scope="a b",
                account_sid="AC2",
            )
            assert (token.access_token_expires_at - session.clock.now()).total_seconds() == 60
        [request] = server.requests
        assert (request.method, request.target) == ("POST", "/v2/token?account_sid=AC2")
        assert "authorization" not in request.headers
        assert request.headers["connection"] == ["close"]
        assert parse_qsl(request.body.decode()) == [
            ("grant_type", "g"),
            ("client_id", "OQ1"),
            ("client_secret", "s"),
            ("code", "c"),
            ("code_verifier", "v"),
            ("refresh_token", "r"),
            ("redirect_uri", "http://127.0.0.1:1/cb"),
            ("audience", "api"),
            ("scope", "a b"),
        ]

    @pytest.mark.asyncio
    async def test_create_token_v2_with_wrong_secret_raises_invalid_client_error(self):
        response = http(401, {"code": 321401, "message": "Invalid client", "status": 401})
        async with scripted(response) as (server, session):
            with pytest.raises(InvalidClientError):
                await session.create_token_v2(grant_type="client_credentials", client_id="OQ1", client_secret="wrong")
            assert len(server.requests) == 1

    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        "arguments", [{"client_id": ""}, {"grant_type": ""}, {"scope": ""}, {"code": "\n"}, {"account_sid": ""}]
    )
    async def test_create_token_v2_with_invalid_argument_raises(self, arguments):
        async with scripted() as (server, session):
            with pytest.raises(ConfigurationError):
                await session.create_token_v2(**{"grant_type": "g", "client_id": "OQ1", **arguments})
            assert server.requests == []


class TestUserInfo:
    @pytest.mark.asyncio
    async def test_fetch_user_info_with_same_subject_returns_user(self):
        async with scripted(http(200, {"user_sid": SUBJECT})) as (_, session):
            assert (await session.fetch_user_info(access_token="a", subject=SUBJECT)).user_sid == SUBJECT

    @pytest.mark.asyncio
    @pytest.mark.parametrize("body", [{"user_sid": "US" + "2" * 32}, {}])
    async def test_fetch_user_info_with_other_subject_raises(self, body):
        async with scripted(http(200, body)) as (_, session):
            with pytest.raises(IdTokenError) as caught:
                await session.fetch_user_info(access_token="a", subject=SUBJECT)
        assert caught.value.claim == "sub"
        assert "US" not in str(caught.value)


@pytest.mark.asyncio
async def test_fetch_server_metadata_sends_no_credentials():
    async with emulated() as world:
        metadata = await world.session.fetch_server_metadata()
        [request] = world.emulator.requests
        assert metadata.issuer == world.emulator.issuer
        assert metadata.token_endpoint == f"{world.emulator.base_url}/v2/token"
        assert metadata.token_endpoint_auth_methods_supported == ("client_secret_post", "none")
        assert metadata.authorization_response_iss_parameter_supported is True
        assert "Authorization" not in request.headers
