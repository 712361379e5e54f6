"""The authorization code grant with PKCE, at both generations of endpoints."""

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
    url,
    verified,
)
from tests.helpers.authorization_code import redirect_parameters as answered
from tests.helpers.emulator_caller import Caller
from tests.helpers.page_user import PageUser as Person
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
async def public(clock: VirtualClock) -> AsyncIterator[Caller]:
    async with Emulator(clock=clock, public=True) as emulator, aiohttp.ClientSession() as http:
        yield Caller(emulator, http)


@pytest.mark.parametrize("path", ["/oauth2/authorize", "/v1/authorize", "/v2/authorize"])
async def test_a_person_approves_in_the_browser(caller: Caller, path: str) -> None:
    async with Person(caller.emulator) as person:
        form = await person.visit(f"{path[1:]}?{urlencode(query(caller))}")
        for text in ("Example App", "openid", "profile", "127.0.0.1:49152"):
            assert text in person.page
        assert "form-action 'self' http://127.0.0.1:49152;" in person.headers["Content-Security-Policy"]
        fields = form.fields | {"decision": "approve"}
        address = person.base_url + form.action
        async with person.http.post(address, data=fields, allow_redirects=False) as response:
            assert response.status == 303
            location = response.headers["Location"]
        async with person.http.post(address, data=fields, allow_redirects=False) as response:
            assert response.status == 410, "a decision is taken once"
    assert location.startswith(CALLBACK + "?")
    answer = answered(location)
    assert (answer["state"], answer["iss"]) == ("the state", caller.emulator.issuer)
    status, token = await exchange_v1(caller, answer["code"])
    assert status == 201
    claims = await verified(caller, token["id_token"])
    assert claims["nonce"] == "the nonce"


async def test_a_person_denies_in_the_browser(caller: Caller) -> None:
    async with Person(caller.emulator) as person:
        form = await person.visit(f"v2/authorize?{urlencode(query(caller))}")
        fields = form.fields | {"decision": "deny"}
        async with person.http.post(person.base_url + form.action, data=fields, allow_redirects=False) as response:
            answer = answered(response.headers["Location"])
        assert (answer["error"], answer["state"]) == ("access_denied", "the state")
        await person.submit(form, decision="approve")
        assert person.status == 410, "a decision is taken once"


async def test_only_the_first_id_token_carries_the_nonce(caller: Caller) -> None:
    _, first = await exchange_v1(caller, await code_for(caller))
    _, second = await caller.refresh(first["refresh_token"], ClientSecret=str(caller.emulator.client_secret))
    assert (await verified(caller, first["id_token"]))["nonce"] == "the nonce"
    assert "nonce" not in await verified(caller, second["id_token"])
    _, without = await exchange_v1(caller, await code_for(caller, nonce=None))
    assert "nonce" not in await verified(caller, without["id_token"])


async def test_a_forged_consent_decides_nothing(caller: Caller) -> None:
    async with Person(caller.emulator) as person, Person(caller.emulator) as stranger:
        form = await person.visit(f"v2/authorize?{urlencode(query(caller))}")
        await stranger.submit(form, decision="approve")
        assert stranger.status == 403
        await person.submit(form, decision="perhaps")
        assert person.status == 400
        await person.submit(form, decision="approve", request_id="nonsense")
        assert person.status == 410


async def test_a_consent_page_does_not_last_for_ever(caller: Caller, clock: VirtualClock) -> None:
    async with Person(caller.emulator) as person:
        form = await person.visit(f"v2/authorize?{urlencode(query(caller))}")
        clock.advance(600)
        await person.submit(form, decision="approve")
        assert person.status == 410


async def test_the_helper_does_what_a_person_does(caller: Caller) -> None:
    user = caller.emulator.add_user("Grace", "Other", "grace@example.com")
    location = await caller.emulator.authorize(url(caller), user, scopes=["openid"])
    status, token = await exchange_v1(caller, answered(location)["code"])
    assert (status, token["scope"]) == (201, "openid")
    assert (await verified(caller, token["id_token"]))["sub"] == user.sid
    whole = await caller.emulator.authorize(url(caller), scopes=["profile", "openid"])
    assert "scope" not in (await exchange_v1(caller, answered(whole)["code"]))[1]
    assert answered(await caller.emulator.authorize(url(caller), approve=False))["error"] == "access_denied"
    with pytest.raises(ValueError, match="asked for"):
        await caller.emulator.authorize(url(caller), scopes=["admin"])
    with pytest.raises(ValueError, match="no such client"):
        await caller.emulator.authorize(url(caller, client_id="OQnobody"))


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
async def test_bad_requests_go_back_to_the_client(caller: Caller, changes: dict[str, str | None], error: str) -> None:
    async with caller.http.get(url(caller, **changes), allow_redirects=False) as response:
        assert response.status == 302
        assert response.headers["Location"].startswith(CALLBACK + "?")
        answer = answered(response.headers["Location"])
    assert (answer["error"], answer["state"], answer["iss"]) == (error, "the state", caller.emulator.issuer)


async def test_a_repeated_parameter_goes_back_to_the_client(caller: Caller) -> None:
    async with caller.http.get(url(caller) + "&scope=more", allow_redirects=False) as response:
        assert answered(response.headers["Location"])["error"] == "invalid_request"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "OQnobody"},
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
async def test_what_cannot_be_trusted_is_told_to_the_person(caller: Caller, changes: dict[str, str | None]) -> None:
    async with caller.http.get(url(caller, **changes), allow_redirects=False) as response:
        assert response.status == 400
        assert response.content_type == "text/html"
        assert "That did not work" in await response.text()


async def test_registered_redirect_uris_match_exactly_but_for_the_port_on_loopback(caller: Caller) -> None:
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


async def test_a_single_registered_redirect_uri_may_be_left_out(caller: Caller) -> None:
    app = caller.emulator.add_app("Site", redirect_uris=["https://site.example/back?tenant=1"])
    location = await caller.emulator.authorize(url(caller, client_id=app.sid, redirect_uri=None))
    assert location.startswith("https://site.example/back?tenant=1&code=")
    client = {"client_id": app.sid, "client_secret": app.secret}
    assert (await exchange_v2(caller, answered(location)["code"], redirect_uri=None, **client))[0] == 200


async def test_a_code_is_used_once_and_its_reuse_revokes(caller: Caller) -> None:
    code = await code_for(caller)
    status, token = await exchange_v2(caller, code)
    assert status == 200
    assert await caller.whose(token["access_token"]) == 200
    assert (await exchange_v2(caller, code))[1]["error"] == "invalid_grant"
    assert await caller.whose(token["access_token"]) == 401


async def test_a_code_expires(caller: Caller, clock: VirtualClock) -> None:
    code = await code_for(caller)
    clock.advance(300)
    assert (await exchange_v1(caller, code))[1]["error"] == "invalid_grant"
    fresh = await code_for(caller)
    clock.advance(299)
    assert (await exchange_v1(caller, fresh))[0] == 201


@pytest.mark.parametrize("exchange", [exchange_v1, exchange_v2])
@pytest.mark.parametrize("verifier", [None, "w" * 43, "v" * 42, "v" * 129, "ü" * 43])
async def test_a_wrong_verifier(caller: Caller, exchange: Any, verifier: str | None) -> None:
    code = await code_for(caller)
    name = "CodeVerifier" if exchange is exchange_v1 else "code_verifier"
    status, body = await exchange(caller, code, **{name: verifier})
    assert (status, body["error"]) == (400, "invalid_grant")
    assert (await exchange(caller, code))[0] in {200, 201}, "a failed attempt does not use the code up"


@pytest.mark.parametrize("redirect_uri", [None, CALLBACK + "/"])
async def test_v2_wants_the_same_redirect_uri(caller: Caller, redirect_uri: str | None) -> None:
    code = await code_for(caller)
    assert (await exchange_v2(caller, code, redirect_uri=redirect_uri))[1]["error"] == "invalid_grant"


async def test_another_client_cannot_use_the_code(caller: Caller) -> None:
    other = caller.emulator.add_app("Other")
    code = await code_for(caller)
    status, body = await exchange_v1(caller, code, ClientSid=other.sid, ClientSecret=other.secret)
    assert (status, body["error"]) == (400, "invalid_grant")


async def test_a_confidential_client_needs_its_secret(caller: Caller) -> None:
    code = await code_for(caller)
    status, body = await exchange_v1(caller, code, ClientSecret=None)
    assert (status, body["error"]) == (401, "invalid_client")


async def test_a_public_client_needs_none_but_always_pkce(public: Caller) -> None:
    public.emulator.policy.pkce_required = False
    location = await public.emulator.authorize(url(public, code_challenge=None, code_challenge_method=None))
    assert answered(location)["error"] == "invalid_request"
    code = await code_for(public)
    assert (await exchange_v1(public, code))[0] == 201


async def test_a_verifier_without_a_challenge_is_a_downgrade(caller: Caller) -> None:
    caller.emulator.policy.pkce_required = False
    without = {"code_challenge": None, "code_challenge_method": None}
    assert (await exchange_v1(caller, await code_for(caller, **without)))[1]["error"] == "invalid_grant"
    assert (await exchange_v1(caller, await code_for(caller, **without), CodeVerifier=None))[0] == 201


async def test_the_request_may_be_posted(caller: Caller) -> None:
    async with caller.http.post(f"{caller.emulator.base_url}/v2/authorize", data=query(caller)) as response:
        assert response.status == 200
        assert "Example App" in await response.text()


async def test_unknown_parameters_are_noted(caller: Caller) -> None:
    async with caller.http.get(url(caller, whatever="1", login_hint="ada@example.com")) as response:
        assert response.status == 200
    assert caller.emulator.requests[-1].unknown_parameters == ("whatever",)
    assert caller.emulator.requests[-1].endpoint == "authorize"


@pytest.mark.parametrize(
    "uri",
    ["", "/callback", "callback", "http:", "https://a.example/#x", "http://[", "https://a example/", "https://ä/"],
)
async def test_what_is_no_redirect_uri_cannot_be_registered(caller: Caller, uri: str) -> None:
    with pytest.raises(ValueError, match="absolute URI without a fragment"):
        caller.emulator.add_app("App", redirect_uris=["https://app.example/", uri])
    with pytest.raises(ValueError, match="absolute URI without a fragment"):
        Emulator(redirect_uris=[uri])


async def test_an_app_s_own_scheme(caller: Caller) -> None:
    app = caller.emulator.add_app("App", redirect_uris=["com.example.app:/callback"])
    asked = url(caller, client_id=app.sid, redirect_uri=None)
    status, body, response = await caller.call("GET", asked.removeprefix(caller.emulator.base_url))
    assert status == 200
    assert "com.example.app:</b>" in body
    assert "form-action 'self' com.example.app:;" in response.headers["Content-Security-Policy"]
    location = await caller.emulator.authorize(asked)
    assert location.startswith("com.example.app:/callback?code=")
