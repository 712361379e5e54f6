"""Limits against abuse: starts in a minute, pending sign-ins, the size of forms, and forms of other sites."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.web_site import Visitor, clock_of, serving
from twilio_oauth_async.web.http_messages import MAX_BODY

pytestmark = pytest.mark.asyncio


async def restart(visitor: Visitor) -> int:
    """Cancel the pending sign-in, if there is one, and start another one; return the status."""
    await visitor.get()
    if "/cancel" in visitor.text:
        await visitor.submit("/cancel")
    await visitor.submit("/connect")
    return visitor.status


async def test_visitor_can_start_a_few_sign_ins_in_a_minute(framework: str, emulator: Any, state: Any) -> None:
    async with serving(framework, emulator, state, starts_per_visitor=2) as url, Visitor(url) as ada:
        assert [await restart(ada) for _ in range(3)] == [200, 200, 429]
        assert ada.headers["Retry-After"] == "60"
        assert "Try again in 60 seconds" in ada.text
        async with Visitor(url) as bob:
            assert await restart(bob) == 200
        clock_of(emulator).advance(60)
        assert await restart(ada) == 200
    assert len(emulator.requests.to("device_code")) == 4


async def test_address_can_start_a_few_sign_ins_in_a_minute(framework: str, emulator: Any, state: Any) -> None:
    async with serving(
        framework, emulator, state, starts_per_address=2, client_address=lambda request: request.headers["X-Client"]
    ) as url:
        statuses = []
        for number in range(4):
            async with Visitor(url) as visitor:
                visitor.http.headers["X-Client"] = "192.0.2.1" if number < 3 else "192.0.2.2"
                statuses.append(await restart(visitor))
        assert statuses == [200, 200, 429, 200]


async def test_address_that_is_not_known_is_not_limited(framework: str, emulator: Any, state: Any) -> None:
    async with serving(framework, emulator, state, starts_per_address=1, client_address=lambda _: None) as url:
        for _ in range(3):
            async with Visitor(url) as visitor:
                assert await restart(visitor) == 200


async def test_sign_ins_in_the_browser_are_limited_too(framework: str, emulator: Any, state: Any) -> None:
    async with serving(framework, emulator, state, starts_per_visitor=2) as url, Visitor(url) as ada:
        statuses = []
        for _ in range(3):
            await ada.get()
            async with ada.request("POST", "/login", data={"csrf": ada.csrf}, allow_redirects=False) as response:
                statuses.append(response.status)
        assert statuses == [200, 200, 429]


async def test_too_many_pending_sign_ins_are_503(framework: str, emulator: Any, state: Any) -> None:
    async with serving(framework, emulator, state, max_flows=1) as url, Visitor(url) as ada, Visitor(url) as bob:
        await ada.connect()
        assert await restart(bob) == 503
        assert int(bob.headers["Retry-After"]) > 0
        assert "Too many sign-ins are pending" in bob.text
        await ada.get()
        await ada.submit("/cancel")
        clock_of(emulator).advance(1)
        await bob.wait_for("Connect your Twilio account")
        assert await restart(bob) == 200


async def test_body_that_is_too_large_is_413(new_visitor: Any) -> None:
    ada = new_visitor()
    await ada.get()
    for body in (b"csrf=" + b"a" * MAX_BODY, b"x" * 500_000):
        async with ada.request(
            "POST", "/connect", data=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
        ) as response:
            assert response.status == 413
    many = "&".join(f"f{number}=x" for number in range(100)) + f"&csrf={ada.csrf}"
    async with ada.request("POST", "/connect", data=many.encode()) as response:
        assert response.status == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "{origin}"}, 303),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "{origin}.evil.example"}, 403),
        ({"Origin": "{origin}", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_form_of_another_origin_is_refused(new_visitor: Any, headers: dict[str, str], status: int) -> None:
    ada = new_visitor()
    await ada.get()
    origin = ada.url.removesuffix("/twilio")
    sent = {name: value.format(origin=origin) for name, value in headers.items()}
    async with ada.request(
        "POST", "/connect", data={"csrf": ada.csrf}, headers=sent, allow_redirects=False
    ) as response:
        assert response.status == status
        is_same_site = "Origin" in headers and "Sec-Fetch-Site" not in headers
        if status == 403 and is_same_site:
            assert f"Open {ada.url} instead" in await response.text()


async def test_server_that_blocks_the_device_flow_leads_to_the_browser(new_visitor: Any, emulator: Any) -> None:
    ada = new_visitor()
    await ada.get()
    emulator.faults.on("device_code").error("unauthorized_client")
    await ada.submit("/connect")
    assert ada.status == 403
    assert "does not allow sign-in with a code for Example" in ada.text
    assert "Sign in with this browser" in ada.text


async def test_device_flow_that_is_blocked_while_it_is_pending_says_so(new_visitor: Any, emulator: Any) -> None:
    ada = new_visitor()
    await ada.get()
    await ada.submit("/connect", data={"next": "/private"})
    emulator.faults.on("poll").error("unauthorized_client")
    clock_of(emulator).advance(6)
    await ada.wait_for("does not allow sign-in with a code for Example")
    assert 'name="next" value="/private"' in ada.text


async def test_without_a_browser_sign_in_the_page_says_what_to_do(framework: str, emulator: Any, state: Any) -> None:
    async with serving(framework, emulator, state, has_code_flow=False) as url, Visitor(url) as ada:
        assert "Sign in with a code" in await ada.get()
        assert "this browser" not in ada.text
        for method, path in (("POST", "/login"), ("GET", "/callback")):
            async with ada.request(method, path) as response:
                assert response.status == 404
        emulator.faults.on("device_code").error("unauthorized_client")
        await ada.submit("/connect")
        assert "ask the administrator of your Twilio account" in ada.text
