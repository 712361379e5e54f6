import json
from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict

from twilio_oauth_async import errors
from twilio_oauth_async.protocol.error_responses import read_error, read_retry_after
from twilio_oauth_async.protocol.messages import Context, Response

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "s3cr3t-canary"
CONTEXT = Context(now=NOW, base_url="https://example.com", sent=(SECRET,))


def answer(status, body, content_type="application/json", **headers):
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
def test_oauth_codes_in_the_members_that_may_hold_one(error, kind):
    found = read_error(answer(400, {"error": error, "error_description": "so", "error_uri": "https://e"}), CONTEXT)
    assert type(found) is kind
    assert (found.status, found.error, found.description, found.more_info) == (400, error, "so", "https://e")
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
        assert type(read_error(answer(400, body), CONTEXT)) is kind, body


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
def test_twilio_codes(code, kind):
    body = {"code": code, "message": "Words", "more_info": "https://www.twilio.com/docs/errors/1", "status": 401}
    found = read_error(answer(401, body, Twilio_Request_Id="RQ1"), CONTEXT)
    assert type(found) is kind
    assert found.code == int(code)
    assert (found.description, found.more_info) == ("Words", "https://www.twilio.com/docs/errors/1")
    assert found.request_id == "RQ1"


@pytest.mark.parametrize("code", [True, None, 1.5, -1, 10**30, [1], "x"])
def test_what_is_no_twilio_code(code):
    found = read_error(answer(400, {"code": code, "message": "m"}), CONTEXT)
    assert type(found) is errors.ApiError
    assert found.code is None


def test_problem_details_of_rfc_9457():
    body = {
        "type": "https://e/problem",
        "title": "Bad input",
        "status": 400,
        "detail": "scope is odd",
        "instance": "/x",
    }
    found = read_error(answer(400, body, "application/problem+json; charset=utf-8"), CONTEXT)
    assert type(found) is errors.ApiError
    assert (found.description, found.more_info) == ("scope is odd", "https://e/problem")


def test_list_form():
    found = read_error(answer(403, {"errors": [{"code": 20003, "message": "No"}]}), CONTEXT)
    assert type(found) is errors.InvalidClientError
    assert found.description == "No"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, errors.RateLimitedError), (500, errors.ServerError), (502, errors.ServerError), (503, errors.ServerError)],
)
@pytest.mark.parametrize(("body", "media_type"), [(b"<html>", "text/html"), (b"", None), (b"{", "application/json")])
def test_gateways_speak_by_their_status(status, kind, body, media_type):
    found = read_error(answer(status, body, media_type, Retry_After="3"), CONTEXT)
    assert type(found) is kind
    assert (found.status, found.retry_after) == (status, 3.0)


def test_a_5xx_is_no_word_of_the_authorization_server():
    found = read_error(answer(500, {"error": "invalid_grant"}), CONTEXT)
    assert type(found) is errors.ServerError
    assert found.error == "invalid_grant"


def test_a_429_with_an_oauth_code_means_what_it_says():
    assert type(read_error(answer(429, {"error": "slow_down"}), CONTEXT)) is errors.SlowDownError


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
@pytest.mark.parametrize(
    ("body", "media_type", "reason"),
    [
        (b"<html>", "text/html", "not JSON by its content type"),
        (b"", "application/json", "no body"),
        (b"", None, "no body"),
        (b"[]", "application/json", "no JSON object"),
        (b"null", "application/json", "no JSON object"),
        (b"{", "application/json", "not JSON"),
        (b"{}", "application/json; charset=utf-16", "a charset other than UTF-8"),
    ],
)
def test_unreadable_answers_keep_their_status(status, body, media_type, reason):
    found = read_error(answer(status, body, media_type, Twilio_Request_Id="RQ1"), CONTEXT)
    assert type(found) is errors.ProtocolError
    assert str(found).startswith(reason)
    assert (found.status, found.content_type, found.length) == (
        status,
        media_type and media_type.split(";")[0],
        len(body),
    )
    assert found.request_id == "RQ1"
    assert "<html>" not in str(found)


def test_a_redirect_is_never_an_answer():
    found = read_error(answer(307, {"error": "slow_down"}), CONTEXT)
    assert type(found) is errors.ProtocolError
    assert "redirect" in str(found)


def test_charsets_that_are_utf8():
    for charset in ("utf-8", "UTF-8", '"utf-8"', "utf8", "us-ascii"):
        assert isinstance(
            read_error(answer(400, {"error": "x"}, f"application/json; charset={charset}"), CONTEXT), errors.ApiError
        )


def test_texts_are_made_safe_and_what_was_sent_is_masked():
    body = {
        "error": f"bad {SECRET}",
        "error_description": f"\x1b[31m{SECRET} " + "x" * 1_000_000,
        "error_uri": f"https://e/{SECRET}",
    }
    found = read_error(answer(400, body, Twilio_Request_Id=SECRET), CONTEXT)
    assert SECRET not in str(found) + repr(found) + repr(vars(found))
    assert "\x1b" not in str(found)
    assert len(str(found)) < 1000


def test_members_of_odd_types_are_passed_over():
    for body in ({"error": 5}, {"error": []}, {"errors": []}, {"errors": ["x"]}, {"message": {}}, {"error": None}, {}):
        assert type(read_error(answer(400, body), CONTEXT)) is errors.ApiError


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
def test_retry_after(value, seconds):
    assert read_retry_after(value, NOW) == seconds
