import json
from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict

from twilio_oauth_async import errors
from twilio_oauth_async.protocol.error_responses import read_error
from twilio_oauth_async.protocol.messages import Context, Response
from twilio_oauth_async.protocol.retry_after import read_retry_after

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "s3cr3t-canary"
CONTEXT = Context(now=NOW, base_url="https://example.com", sent=(SECRET,))


def response(status, body, content_type="application/json", **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Content-Type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Response(status=status, headers=CIMultiDict({k: v for k, v in named.items() if v is not None}), body=raw)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("invalid_request", errors.InvalidRequestError),
        ("invalid_client", errors.InvalidClientError),
        ("invalid_grant", errors.InvalidGrantError),
        ("unauthorized_client", errors.UnauthorizedClientError),
        ("unsupported_grant_type", errors.UnsupportedGrantTypeError),
        ("invalid_scope", errors.InvalidScopeError),
        ("authorization_pending", errors.AuthorizationPendingError),
        ("slow_down", errors.SlowDownError),
        ("access_denied", errors.AccessDeniedError),
        ("expired_token", errors.DeviceCodeExpiredError),
        ("foo", errors.ApiError),
    ],
)
def test_read_error_finds_oauth_code_in_any_member(error, kind):
    result = read_error(response(400, {"error": error, "error_description": "so", "error_uri": "https://e"}), CONTEXT)
    assert type(result) is kind
    assert (result.status, result.error, result.description, result.more_info) == (400, error, "so", "https://e")
    if error == "foo":
        return
    for body in (
        {"code": error, "message": "so"},
        {"message": error, "code": 20001, "status": 400},
        {"message": error.replace("_", " ").capitalize() + "."},
        {"error": error.upper()},
        {"error": {"code": error, "message": "so"}},
        {"errors": [{"code": error}, {"code": "invalid_scope"}]},
        {"title": "Bad", "detail": error, "status": 400},
    ):
        assert type(read_error(response(400, body), CONTEXT)) is kind, body


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (20001, errors.InvalidRequestError),
        (20003, errors.InvalidClientError),
        ("20003", errors.InvalidClientError),
        (20429, errors.RateLimitedError),
        (70051, errors.InvalidScopeError),
        (321401, errors.InvalidClientError),
        (321402, errors.InvalidClientError),
        (321403, errors.UnsupportedGrantTypeError),
        (321405, errors.InvalidClientError),
        (322402, errors.InvalidClientError),
        (322403, errors.InvalidRequestError),
        (20404, errors.ApiError),
    ],
)
def test_read_error_maps_twilio_code_to_error_class(code, kind):
    body = {"code": code, "message": "A message", "more_info": "https://www.twilio.com/docs/errors/1", "status": 401}
    result = read_error(response(401, body, Twilio_Request_Id="RQ1"), CONTEXT)
    assert type(result) is kind
    assert result.code == int(code)
    assert (result.description, result.more_info) == ("A message", "https://www.twilio.com/docs/errors/1")
    assert result.request_id == "RQ1"


@pytest.mark.parametrize("code", [True, None, 1.5, -1, 10**30, [1], "x"])
def test_read_error_ignores_invalid_twilio_code(code):
    result = read_error(response(400, {"code": code, "message": "m"}), CONTEXT)
    assert type(result) is errors.ApiError
    assert result.code is None


def test_read_error_parses_problem_details_of_rfc_9457():
    body = {
        "type": "https://e/problem",
        "title": "Bad input",
        "status": 400,
        "detail": "scope is odd",
        "instance": "/x",
    }
    result = read_error(response(400, body, "application/problem+json; charset=utf-8"), CONTEXT)
    assert type(result) is errors.ApiError
    assert (result.description, result.more_info) == ("scope is odd", "https://e/problem")


def test_read_error_parses_list_of_errors():
    result = read_error(response(403, {"errors": [{"code": 20003, "message": "No"}]}), CONTEXT)
    assert type(result) is errors.InvalidClientError
    assert result.description == "No"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, errors.RateLimitedError), (500, errors.ServerError), (502, errors.ServerError), (503, errors.ServerError)],
)
@pytest.mark.parametrize(("body", "media_type"), [(b"<html>", "text/html"), (b"", None), (b"{", "application/json")])
def test_read_error_of_429_or_5xx_with_unreadable_body_depends_on_status(status, kind, body, media_type):
    result = read_error(response(status, body, media_type, Retry_After="3"), CONTEXT)
    assert type(result) is kind
    assert (result.status, result.retry_after) == (status, 3.0)


def test_read_error_of_500_with_oauth_code_is_server_error():
    result = read_error(response(500, {"error": "invalid_grant"}), CONTEXT)
    assert type(result) is errors.ServerError
    assert result.error == "invalid_grant"


def test_read_error_of_429_with_slow_down_is_slow_down_error():
    assert type(read_error(response(429, {"error": "slow_down"}), CONTEXT)) is errors.SlowDownError


@pytest.mark.parametrize("status", [400, 401, 403, 404])
@pytest.mark.parametrize(
    ("body", "media_type", "reason"),
    [
        (b"<html>", "text/html", "the content type is not JSON"),
        (b"", "application/json", "the body is empty"),
        (b"", None, "the body is empty"),
        (b"[]", "application/json", "not a JSON object"),
        (b"null", "application/json", "not a JSON object"),
        (b"{", "application/json", "not JSON"),
        (b"{}", "application/json; charset=utf-16", "the charset is not UTF-8"),
    ],
)
def test_read_error_of_unreadable_body_is_protocol_error_with_status(status, body, media_type, reason):
    result = read_error(response(status, body, media_type, Twilio_Request_Id="RQ1"), CONTEXT)
    assert type(result) is errors.ProtocolError
    assert str(result).startswith(reason)
    assert (result.status, result.content_type, result.length) == (
        status,
        media_type and media_type.split(";")[0],
        len(body),
    )
    assert result.request_id == "RQ1"
    assert "<html>" not in str(result)


def test_read_error_of_redirect_is_protocol_error():
    result = read_error(response(307, {"error": "slow_down"}), CONTEXT)
    assert type(result) is errors.ProtocolError
    assert "redirect" in str(result)


def test_read_error_accepts_utf8_charset_names():
    for charset in ("utf-8", "UTF-8", '"utf-8"', "utf8", "us-ascii"):
        assert isinstance(
            read_error(response(400, {"error": "x"}, f"application/json; charset={charset}"), CONTEXT), errors.ApiError
        )


def test_read_error_sanitizes_text_and_masks_secrets():
    body = {
        "error": f"bad {SECRET}",
        "error_description": f"\x1b[31m{SECRET} " + "x" * 1_000_000,
        "error_uri": f"https://e/{SECRET}",
    }
    result = read_error(response(400, body, Twilio_Request_Id=SECRET), CONTEXT)
    assert SECRET not in str(result) + repr(result) + repr(vars(result))
    assert "\x1b" not in str(result)
    assert len(str(result)) < 1000


def test_read_error_ignores_members_of_wrong_type():
    for body in ({"error": 5}, {"error": []}, {"errors": []}, {"errors": ["x"]}, {"message": {}}, {"error": None}, {}):
        assert type(read_error(response(400, body), CONTEXT)) is errors.ApiError


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 3 ", 3.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("1000000000", None),
        ("nan", None),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Thursday, 01-Jan-26 00:00:30 GMT", 30.0),
        ("Thu Jan  1 00:00:30 2026", 30.0),
        ("Wed, 31 Dec 2025 23:59:00 GMT", 0.0),
        ("Thu, 01 Jan 2099 00:00:00 GMT", None),
        ("86400", 86_400.0),
        ("86401", None),
    ],
)
def test_read_retry_after(value, seconds):
    assert read_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(("content_type", "body"), [("text/html", b"<html>"), ("", b""), ("application/json", b"{}")])
def test_read_error_of_redirect_says_so_whatever_the_body_is(content_type, body):
    redirect = Response(status=307, headers=CIMultiDict({"Content-Type": content_type}), body=body)
    error = read_error(redirect, Context(now=NOW, base_url="https://oauth.example"))
    assert type(error) is errors.ProtocolError
    assert "redirects are not followed" in str(error)
