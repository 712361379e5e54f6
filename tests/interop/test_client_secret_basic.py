"""`RfcProxy` translates ``client_secret_basic`` (RFC 6749 2.3.1) to the contract, whose Basic is for the account."""

from __future__ import annotations

import base64

import pytest

pytestmark = pytest.mark.asyncio

SECRET = "a b:c%2F&="
ENCODED = "a+b%3Ac%252F%26%3D"


@pytest.fixture
def emulator_options():
    return {"client_secret": SECRET, "device_secret_required": True}


def basic(credentials):
    return "Basic " + base64.b64encode(credentials.encode()).decode()


@pytest.fixture
def refresh(emulator, rfc):
    """A function that sends a token request; its refresh token is unknown, which is checked after the client."""

    async def send(authorization, **form):
        form = {"grant_type": "refresh_token", "refresh_token": "unknown", **form}
        headers = {} if authorization is None else {"Authorization": authorization}
        async with rfc.http.post(rfc.base_url + "/token", data=form, headers=headers) as response:
            body = await response.json()
            return response.status, body["error"], response.headers.get("WWW-Authenticate")

    return send


@pytest.mark.parametrize("scheme", ["Basic ", "basic  "])
async def test_client_in_the_header_is_sent_as_parameters(emulator, refresh, scheme):
    header = basic(f"{emulator.client_sid}:{ENCODED}").replace("Basic ", scheme)
    assert await refresh(header) == (400, "invalid_grant", None)
    (request,) = emulator.requests.to("refresh")
    assert (request.form["ClientSid"], request.form["ClientSecret"]) == (emulator.client_sid, SECRET)
    assert request.headers["Authorization"] == basic(f"{emulator.account_sid}:{emulator.auth_token}")


async def test_client_may_repeat_its_identifier_in_the_form(emulator, refresh):
    header = basic(f"{emulator.client_sid}:{ENCODED}")
    assert await refresh(header, client_id=emulator.client_sid, client_secret="") == (400, "invalid_grant", None)


async def test_form_without_a_header_is_unchanged(emulator, refresh):
    response = await refresh(None, client_id=emulator.client_sid, client_secret=SECRET)
    assert response == (400, "invalid_grant", None)


@pytest.mark.parametrize(
    "credentials",
    ["CLIENT:wrong", f"CLIENT:{SECRET}", f"unknown:{ENCODED}", "CLIENT", "CLIENT:%FF", "CLIENT:é"],
)
async def test_wrong_client_in_the_header_is_invalid_client_with_a_challenge(emulator, refresh, credentials):
    response = await refresh(basic(credentials.replace("CLIENT", emulator.client_sid)))
    assert response == (401, "invalid_client", 'Basic realm="OAuth client"')


@pytest.mark.parametrize("header", ["Bearer token", "Basic", "Basic !", "Basic YQ"])
async def test_header_without_basic_credentials_is_invalid_client(refresh, header):
    assert await refresh(header) == (401, "invalid_client", 'Basic realm="OAuth client"')


@pytest.mark.parametrize("form", [{"client_secret": SECRET}, {"client_id": "another"}], ids=str)
async def test_client_in_the_header_and_in_the_form_is_invalid_request(emulator, refresh, form):
    """RFC 6749 2.3: a client must not use more than one method."""
    header = basic(f"{emulator.client_sid}:{ENCODED}")
    assert await refresh(header, **form) == (400, "invalid_request", None)
    assert not emulator.requests.to("refresh")
