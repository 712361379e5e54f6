"""Requests that name another host: a website must not reach the emulator through a browser (DNS rebinding)."""

from __future__ import annotations

import aiohttp
import pytest

from tests.helpers.emulator_caller import CONTROL_TOKEN, Remote
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.messages.hosts import AllowedHosts

LOOPBACK = ["127.0.0.1", "127.0.0.1:80", "127.9.9.9", "[::1]", "[::1]:80", "localhost", "LOCALHOST:80", "a.localhost"]
OTHERS = [
    "evil.example",
    "evil.example:80",
    "10.0.0.1",
    "[2001:db8::1]:80",
    "localhost.evil.example",
    "127.0.0.1.nip",
    "x",
]


def accepts(hosts: AllowedHosts, host: str) -> bool:
    try:
        hosts.check(host)
    except ErrorResponse:
        return False
    return True


@pytest.mark.parametrize(
    ("listens_on", "names", "accepted", "refused"),
    [
        ("127.0.0.1", (), [*LOOPBACK, ""], OTHERS),
        ("localhost", (), LOOPBACK, OTHERS),
        ("::1", ("emulator", "X"), [*LOOPBACK, "emulator", "Emulator:80", "x"], OTHERS[:-1]),
        ("0.0.0.0", (), [*LOOPBACK, *OTHERS, ""], []),
        ("10.0.0.1", ("emulator",), ["emulator", *LOOPBACK], OTHERS),
    ],
)
def test_hosts_that_are_accepted(
    listens_on: str, names: tuple[str, ...], accepted: list[str], refused: list[str]
) -> None:
    hosts = AllowedHosts(listens_on, names)
    assert [host for host in accepted if not accepts(hosts, host)] == []
    assert [host for host in refused if accepts(hosts, host)] == []


@pytest.mark.asyncio
async def test_request_that_names_another_host_is_refused_and_recorded(remote: Remote) -> None:
    headers = {"Host": "evil.example"}
    status, body, _ = await remote.call("GET", "/v1/certs", headers=headers)
    assert (status, body["error"]) == (421, "misdirected_request")
    assert remote.emulator.requests[-1].error == "misdirected_request"
    status, body, _ = await remote.call("GET", "/_control/", authorization=f"Bearer {CONTROL_TOKEN}", headers=headers)
    assert (status, list(body)) == (421, ["error"])
    page = await remote.call("GET", "/v1/oauth2/device/activate", headers={**headers, "Accept": "text/html"})
    assert page[0] == 421
    assert "Use its base URL" in page[1]


@pytest.mark.asyncio
async def test_name_that_was_given_is_accepted() -> None:
    async with Emulator(hosts=["twilio.test"]) as emulator, aiohttp.ClientSession() as http:
        remote = Remote(emulator, http)
        assert (await remote.call("GET", "/v1/certs", headers={"Host": "twilio.test:8080"}))[0] == 200
