"""A server that does not offer the device flow: the error is not that of a user who denied, and says what may work."""

import pickle

import pytest

from tests.helpers.protocol import CONTEXT, NOW, response
from tests.helpers.world import emulated
from twilio_oauth_async import (
    AccessDeniedError,
    ApiError,
    DeviceCode,
    DeviceFlowError,
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    RateLimitedError,
    ServerError,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
)
from twilio_oauth_async.protocol import device_authorization, polling

HINT = "; the device flow is not available to this client; AuthorizationCodeFlow, through a browser, may work"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "unauthorized_client"}, UnauthorizedClientError),
        (401, {"error": "unauthorized_client"}, UnauthorizedClientError),
        (400, {"error": "access_denied"}, UnauthorizedClientError),
        (403, {"error": "access_denied", "error_description": "Not allowed"}, UnauthorizedClientError),
        (400, {"message": "Access denied"}, UnauthorizedClientError),
        (403, {"message": "Forbidden"}, UnauthorizedClientError),
        (403, {"code": 99999, "message": "Device flow is off"}, UnauthorizedClientError),
        (400, {"error": "unsupported_grant_type"}, UnsupportedGrantTypeError),
        (400, {"code": 321403, "message": "Invalid grant type"}, UnsupportedGrantTypeError),
        (404, {"code": 20404, "message": "Not found"}, UnsupportedGrantTypeError),
        (400, {"code": 20404, "message": "Not found"}, UnsupportedGrantTypeError),
        (405, {"code": 20004, "message": "Method not allowed"}, UnsupportedGrantTypeError),
        (404, {}, UnsupportedGrantTypeError),
        (405, {"message": "No"}, UnsupportedGrantTypeError),
    ],
)
def test_refused_device_code_says_that_the_browser_flow_may_work(status, body, kind):
    error = device_authorization.parse_device_code(response(body, status), CONTEXT)
    assert type(error) is kind
    assert not isinstance(error, DeviceFlowError)  # the user has not denied
    assert str(error).endswith(HINT)
    assert (error.status, error.code) == (status, body.get("code"))
    assert error.description == (body.get("error_description") or body.get("message"))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "invalid_request"}, InvalidRequestError),
        (401, {"code": 20003, "message": "Authenticate"}, InvalidClientError),
        (403, {"code": 20003, "message": "Authenticate"}, InvalidClientError),
        (403, {"error": "invalid_scope"}, InvalidScopeError),
        (404, {"error": "invalid_client"}, InvalidClientError),
        (400, {"code": 99999, "message": "Strange"}, ApiError),
        (429, {}, RateLimitedError),
        (503, {"error": "access_denied"}, ServerError),
    ],
)
def test_other_errors_of_the_device_endpoint_are_not_explained(status, body, kind):
    error = device_authorization.parse_device_code(response(body, status), CONTEXT)
    assert type(error) is kind
    assert "AuthorizationCodeFlow" not in str(error)


@pytest.mark.parametrize(
    ("error", "explained"),
    [
        (UnauthorizedClientError(status=400, error="unauthorized_client"), True),
        (UnsupportedGrantTypeError(status=400, code=321403), True),
        (AccessDeniedError(status=400, error="access_denied"), False),
        (InvalidClientError(status=401, error="invalid_client"), False),
    ],
)
def test_poll_of_a_client_that_may_not_use_the_device_grant_is_explained(error, explained):
    """At the token endpoint, ``access_denied`` means that the user denied."""
    code = DeviceCode(device_code="d", user_code="u", verification_uri="https://e.example")
    state, _ = polling.begin(code, client_sid="OQ1", scopes=["openid"], audiences=[], now=NOW)
    text = str(error)
    ended = polling.advance(state, error, NOW)
    assert ended is error
    assert str(ended) == (text + HINT if explained else text)


@pytest.mark.asyncio
async def test_device_flow_whose_client_is_refused_by_policy_raises_and_sends_no_poll():
    async with emulated() as world:
        world.emulator.faults.on("device_code").error("access_denied", status=403)
        with pytest.raises(UnauthorizedClientError, match="AuthorizationCodeFlow, through a browser, may work"):
            await world.flow.run()
        assert [record.path for record in world.emulator.requests] == ["/v1/device/code"]
