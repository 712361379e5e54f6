"""The authorization code grant with PKCE, at the v1 and v2 endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
import pytest_asyncio

from tests.helpers.authorization_code import (
    CALLBACK,
    VERIFIER,
    code_for,
    exchange_v2,
    query,
    response_parameters,
    url,
    verified,
)
from tests.helpers.emulator_caller import Caller
from tests.helpers.form_browser import FormBrowser
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


async def exchange_v1(caller: Caller, code: str, **changes: str | None) -> tuple[int, Any]:
    form = {
        "GrantType": "authorization_code",
        "ClientSid": caller.emulator.client_sid,
        "ClientSecret": caller.emulator.client_secret,
        "Code": code,
        "CodeVerifier": VERIFIER,
    } | changes
    filled = {name: value for name, value in form.items() if value is not None}
    return (await caller.call("POST", "/v1/token", filled))[:2]


@pytest_asyncio.fixture
async def public_client(clock: VirtualClock) -> AsyncIterator[Caller]:
    async with Emulator(clock=clock, public=True) as emulator, aiohttp.ClientSession() as http:
        yield Caller(emulator, http)


@pytest.mark.parametrize("path", ["/oauth2/authorize", "/v1/authorize", "/v2/authorize"])
async def test_approval_in_the_browser_redirects_with_a_code(caller: Caller, path: str) -> None:
    async with FormBrowser(caller.emulator) as browser:
        form = await browser.visit(f"{path[1:]}?{urlencode(query(caller))}")
        for text in ("Example App", "see which Twilio user you are", "see your name", "127.0.0.1:49152"):
            assert text in browser.page
        assert "form-action 'self' http://127.0.0.1:49152;" in browser.headers["Content-Security-Policy"]
        fields = form.fields | {"decision": "approve"}
        address = browser.base_url + form.action
        async with browser.http.post(address, data=fields, allow_redirects=False) as response:
            assert response.status == 303
            location = response.headers["Location"]
        async with browser.http.post(address, data=fields, allow_redirects=False) as response:
            assert response.status == 410, "a request can be decided only once"
    assert location.startswith(CALLBACK + "?")
    parameters = response_parameters(location)
    assert (parameters["state"], parameters["iss"]) == ("the state", caller.emulator.issuer)
    status, token = await exchange_v1(caller, parameters["code"])
    assert status == 201
    claims = await verified(caller, token["id_token"])
    assert claims["nonce"] == "the nonce"


async def test_denial_in_the_browser_redirects_with_access_denied(caller: Caller) -> None:
    async with FormBrowser(caller.emulator) as browser:
        form = await browser.visit(f"v2/authorize?{urlencode(query(caller))}")
        fields = form.fields | {"decision": "deny"}
        async with browser.http.post(browser.base_url + form.action, data=fields, allow_redirects=False) as response:
            parameters = response_parameters(response.headers["Location"])
        assert (parameters["error"], parameters["state"]) == ("access_denied", "the state")
        await browser.submit(form, decision="approve")
        assert browser.status == 410, "a request can be decided only once"


async def test_only_the_first_id_token_has_the_nonce(caller: Caller) -> None:
    _, first = await exchange_v1(caller, await code_for(caller))
    _, second = await caller.refresh(first["refresh_token"], ClientSecret=str(caller.emulator.client_secret))
    assert (await verified(caller, first["id_token"]))["nonce"] == "the nonce"
    assert "nonce" not in await verified(caller, second["id_token"])
    _, without = await exchange_v1(caller, await code_for(caller, nonce=None))
    assert "nonce" not in await verified(caller, without["id_token"])


async def test_forged_or_invalid_consent_form_does_not_approve(caller: Caller) -> None:
    async with FormBrowser(caller.emulator) as browser, FormBrowser(caller.emulator) as other_browser:
        form = await browser.visit(f"v2/authorize?{urlencode(query(caller))}")
        await other_browser.submit(form, decision="approve")
        assert other_browser.status == 403
        await browser.submit(form, decision="unknown")
        assert browser.status == 400
        await browser.submit(form, decision="approve", request_id="unknown")
        assert browser.status == 410


async def test_consent_page_expires_after_600_seconds(caller: Caller, clock: VirtualClock) -> None:
    async with FormBrowser(caller.emulator) as browser:
        form = await browser.visit(f"v2/authorize?{urlencode(query(caller))}")
        clock.advance(600)
        await browser.submit(form, decision="approve")
        assert browser.status == 410


async def test_emulator_authorize_approves_or_denies_like_a_browser(caller: Caller) -> None:
    user = caller.emulator.add_user("Grace", "Other", "grace@example.com")
    location = await caller.emulator.authorize(url(caller), user, scopes=["openid"])
    status, token = await exchange_v1(caller, response_parameters(location)["code"])
    assert (status, token["scope"]) == (201, "openid")
    assert (await verified(caller, token["id_token"]))["sub"] == user.sid
    whole = await caller.emulator.authorize(url(caller), scopes=["profile", "openid"])
    assert "scope" not in (await exchange_v1(caller, response_parameters(whole)["code"]))[1]
    assert response_parameters(await caller.emulator.authorize(url(caller), approve=False))["error"] == "access_denied"
    with pytest.raises(ValueError, match="were requested"):
        await caller.emulator.authorize(url(caller), scopes=["admin"])
    with pytest.raises(ValueError, match="no such client"):
        await caller.emulator.authorize(url(caller, client_id="OQother"))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request": "a.b.c"}, "request_not_supported"),
        ({"request_uri": "https://example.com"}, "request_uri_not_supported"),
        ({"prompt": "none"}, "interaction_required"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": "a  b"}, "invalid_scope"),
        ({"audience": "a b"}, "invalid_target"),
    ],
)
async def test_invalid_request_redirects_to_the_client_with_an_error(
    caller: Caller, changes: dict[str, str | None], error: str
) -> None:
    async with caller.http.get(url(caller, **changes), allow_redirects=False) as response:
        assert response.status == 302
        assert response.headers["Location"].startswith(CALLBACK + "?")
        parameters = response_parameters(response.headers["Location"])
    assert (parameters["error"], parameters["state"], parameters["iss"]) == (error, "the state", caller.emulator.issuer)


async def test_repeated_parameter_redirects_to_the_client_with_an_error(caller: Caller) -> None:
    async with caller.http.get(url(caller) + "&scope=more", allow_redirects=False) as response:
        assert response_parameters(response.headers["Location"])["error"] == "invalid_request"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "OQother"},
        {"redirect_uri": None},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "http://127.0.0.1.evil.example/"},
        {"redirect_uri": "http://127.0.0.1:80@evil.example/"},
        {"redirect_uri": "http://localhost:1234/callback"},
        {"redirect_uri": "https://127.0.0.1:1234/callback"},
        {"redirect_uri": "http://127.0.0.1:1234/callback#fragment"},
        {"redirect_uri": "http://127.0.0.1:99999/"},
        {"redirect_uri": "http://127.0.0.1:1234/\r\nX: y"},
        {"redirect_uri": "javascript:alert(1)"},
    ],
)
async def test_unknown_client_or_redirect_uri_shows_an_error_page(
    caller: Caller, changes: dict[str, str | None]
) -> None:
    async with caller.http.get(url(caller, **changes), allow_redirects=False) as response:
        assert response.status == 400
        assert response.content_type == "text/html"
        assert "Request failed" in await response.text()


async def test_redirect_uri_must_be_identical_except_for_a_loopback_port(caller: Caller) -> None:
    app = caller.emulator.add_app("Site", redirect_uris=["https://site.example/back", "http://127.0.0.1/callback"])
    for redirect_uri, status in (
        ("https://site.example/back", 200),
        ("https://site.example/back/", 400),
        ("https://site.example/back?x=1", 400),
        (CALLBACK, 200),
        ("http://127.0.0.1:49152/other", 400),
    ):
        async with caller.http.get(url(caller, client_id=app.sid, redirect_uri=redirect_uri)) as response:
            assert response.status == status, redirect_uri


async def test_redirect_uri_may_be_omitted_if_only_one_is_registered(caller: Caller) -> None:
    app = caller.emulator.add_app("Site", redirect_uris=["https://site.example/back?tenant=1"])
    location = await caller.emulator.authorize(url(caller, client_id=app.sid, redirect_uri=None))
    assert location.startswith("https://site.example/back?tenant=1&code=")
    client = {"client_id": app.sid, "client_secret": app.secret}
    assert (await exchange_v2(caller, response_parameters(location)["code"], redirect_uri=None, **client))[0] == 200


async def test_reused_code_is_rejected_and_revokes_the_grant(caller: Caller) -> None:
    code = await code_for(caller)
    status, token = await exchange_v2(caller, code)
    assert status == 200
    assert await caller.userinfo_status(token["access_token"]) == 200
    assert (await exchange_v2(caller, code))[1]["error"] == "invalid_grant"
    assert await caller.userinfo_status(token["access_token"]) == 401


async def test_code_expires_after_300_seconds(caller: Caller, clock: VirtualClock) -> None:
    code = await code_for(caller)
    clock.advance(300)
    assert (await exchange_v1(caller, code))[1]["error"] == "invalid_grant"
    new_code = await code_for(caller)
    clock.advance(299)
    assert (await exchange_v1(caller, new_code))[0] == 201


@pytest.mark.parametrize("exchange", [exchange_v1, exchange_v2])
@pytest.mark.parametrize("verifier", [None, "w" * 43, "v" * 42, "v" * 129, "ü" * 43])
async def test_wrong_verifier_is_rejected_and_does_not_use_the_code(
    caller: Caller, exchange: Any, verifier: str | None
) -> None:
    code = await code_for(caller)
    name = "CodeVerifier" if exchange is exchange_v1 else "code_verifier"
    status, body = await exchange(caller, code, **{name: verifier})
    assert (status, body["error"]) == (400, "invalid_grant")
    assert (await exchange(caller, code))[0] in {200, 201}, "a failed request does not use the code"


@pytest.mark.parametrize("redirect_uri", [None, CALLBACK + "/"])
async def test_v2_requires_the_redirect_uri_of_the_authorization_request(
    caller: Caller, redirect_uri: str | None
) -> None:
    code = await code_for(caller)
    assert (await exchange_v2(caller, code, redirect_uri=redirect_uri))[1]["error"] == "invalid_grant"


async def test_code_of_another_client_is_rejected(caller: Caller) -> None:
    other = caller.emulator.add_app("Other")
    code = await code_for(caller)
    status, body = await exchange_v1(caller, code, ClientSid=other.sid, ClientSecret=other.secret)
    assert (status, body["error"]) == (400, "invalid_grant")


async def test_confidential_client_must_send_its_secret(caller: Caller) -> None:
    code = await code_for(caller)
    status, body = await exchange_v1(caller, code, ClientSecret=None)
    assert (status, body["error"]) == (401, "invalid_client")


async def test_public_client_needs_no_secret_but_pkce_always(public_client: Caller) -> None:
    public_client.emulator.policy.pkce_required = False
    location = await public_client.emulator.authorize(
        url(public_client, code_challenge=None, code_challenge_method=None)
    )
    assert response_parameters(location)["error"] == "invalid_request"
    code = await code_for(public_client)
    assert (await exchange_v1(public_client, code))[0] == 201


async def test_verifier_without_challenge_is_rejected_as_pkce_downgrade(caller: Caller) -> None:
    caller.emulator.policy.pkce_required = False
    without = {"code_challenge": None, "code_challenge_method": None}
    assert (await exchange_v1(caller, await code_for(caller, **without)))[1]["error"] == "invalid_grant"
    assert (await exchange_v1(caller, await code_for(caller, **without), CodeVerifier=None))[0] == 201


async def test_authorization_request_with_post(caller: Caller) -> None:
    async with caller.http.post(f"{caller.emulator.base_url}/v2/authorize", data=query(caller)) as response:
        assert response.status == 200
        assert "Example App" in await response.text()


async def test_unknown_parameters_are_recorded(caller: Caller) -> None:
    async with caller.http.get(url(caller, extra="1", login_hint="ada@example.com")) as response:
        assert response.status == 200
    assert caller.emulator.requests[-1].unknown_parameters == ("extra",)
    assert caller.emulator.requests[-1].endpoint == "authorize"


@pytest.mark.parametrize(
    "uri",
    ["", "/callback", "callback", "http:", "https://a.example/#x", "http://[", "https://a example/", "https://ä/"],
)
async def test_invalid_redirect_uri_cannot_be_registered(caller: Caller, uri: str) -> None:
    with pytest.raises(ValueError, match="absolute URI without a fragment"):
        caller.emulator.add_app("App", redirect_uris=["https://app.example/", uri])
    with pytest.raises(ValueError, match="absolute URI without a fragment"):
        Emulator(redirect_uris=[uri])


async def test_redirect_uri_with_a_private_use_scheme(caller: Caller) -> None:
    app = caller.emulator.add_app("App", redirect_uris=["com.example.app:/callback"])
    request_url = url(caller, client_id=app.sid, redirect_uri=None)
    status, body, response = await caller.call("GET", request_url.removeprefix(caller.emulator.base_url))
    assert status == 200
    assert "com.example.app:</b>" in body
    assert "form-action 'self' com.example.app:;" in response.headers["Content-Security-Policy"]
    location = await caller.emulator.authorize(request_url)
    assert location.startswith("com.example.app:/callback?code=")
