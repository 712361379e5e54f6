"""Invalid control commands: status, and an error message that says what is expected."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.emulator_caller import CONTROL_TOKEN as TOKEN
from tests.helpers.emulator_caller import Remote

pytestmark = pytest.mark.asyncio


async def test_unknown_or_used_codes_users_and_tokens_get_404_or_409(remote: Remote) -> None:
    assert await remote.try_command("approve", user_code="WRNG-CODE") == (
        404,
        {"error": "no device code was issued with this user code"},
    )
    code = (await remote.device_code())["user_code"]
    assert (await remote.try_command("approve", user_code=code, scopes=["more"]))[0] == 400
    assert (await remote.try_command("approve", user_code=code, user="US1"))[0] == 404
    await remote.command("deny", user_code=code)
    assert (await remote.try_command("approve", user_code=code))[0] == 409
    assert (await remote.try_command("revoke", token="x"))[0] == 404
    assert (await remote.try_command("expire", user_code="x"))[0] == 404


async def test_unknown_path_gets_404_and_wrong_method_gets_405(remote: Remote) -> None:
    status, body = await remote.try_command("unknown")
    assert (status, "GET /_control/requests" in body["error"]) == (404, True)
    status, body, response = await remote.call("GET", "/_control/approve", authorization=f"Bearer {TOKEN}")
    assert (status, response.headers["Allow"]) == (405, "POST")
    assert "POST" in body["error"]


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("approve", {}, "approve needs user_code"),
        ("approve", {"user_code": None}, "approve needs user_code"),
        ("approve", {"user_code": 5}, "user_code must be a string"),
        ("approve", {"user_code": "x", "scopes": "openid"}, "scopes must be a list of strings"),
        ("approve", {"user_code": "x", "scopes": ["openid", 1]}, "scopes must be a list of strings"),
        ("deny", {"user_code": "x", "user": "y"}, "deny takes user_code; the request has another argument"),
        ("add_api_key", {"x": 1}, "add_api_key takes no arguments"),
        ("add_app", {"name": "x", "public": 1}, "public must be true or false"),
        ("rotate_keys", {"keep": True}, "keep must be an integer"),
        ("rotate_keys", {"keep": 1.0}, "keep must be an integer"),
        ("advance", {"seconds": -1}, "seconds must be zero or a positive number"),
        ("advance", {"seconds": True}, "seconds must be a number"),
        ("advance", {"seconds": "1"}, "seconds must be a number"),
        ("advance", {"seconds": 10**400}, "seconds must be a number"),
        ("advance", {"seconds": 1e12}, "beyond the year 9000"),
        ("", {"x": "1"}, "/_control/ takes no arguments"),
    ],
)
async def test_invalid_argument_gets_400_with_the_expected_type(
    remote: Remote, command: str, arguments: dict[str, Any], message: str
) -> None:
    status, body = await remote.try_command(command, **arguments)
    assert (status, list(body)) == (400, ["error"])
    assert message in body["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff",
        b'{"seconds": NaN}',
        b'{"seconds": 1e999}',
        b'{"seconds": -Infinity}',
        b'{"seconds": 1, "seconds": 2}',
        b'{"seconds": %s}' % (b"9" * 5000),
        b'{"seconds": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"seconds": %s}' % (b"[" * 100 + b"]" * 100),
        b"[" * 30_000 + b"]" * 30_000,
    ],
    ids=range(14),
)
async def test_body_that_is_not_a_json_object_gets_400(remote: Remote, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with remote.http.post(f"{remote.emulator.base_url}/_control/advance", data=body, headers=headers) as response:
        assert (response.status, await response.json()) == (400, {"error": "the body must be a JSON object in UTF-8"})
    assert remote.emulator.clock.monotonic() == 0


async def test_command_that_is_too_large_gets_413(remote: Remote) -> None:
    status, body = await remote.try_command("approve", user_code="x" * 70_000)
    assert (status, body) == (413, {"error": "the request is too large"})


async def test_command_without_arguments_needs_no_body(remote: Remote) -> None:
    status, body, _ = await remote.call("POST", "/_control/clear", authorization=f"Bearer {TOKEN}")
    assert (status, body) == (200, {})
