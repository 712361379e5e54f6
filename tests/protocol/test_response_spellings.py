"""Spellings of media types, and values at the limits of error responses, which servers and gateways really send."""

import pytest
from multidict import CIMultiDict

from tests.helpers.protocol import CONTEXT, response
from twilio_oauth_async import Certs, errors
from twilio_oauth_async.protocol import device_authorization
from twilio_oauth_async.protocol.error_responses import Unreadable, describes_error, read_error, read_object
from twilio_oauth_async.protocol.messages import Response
from twilio_oauth_async.protocol.response_parsing import parse


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "APPLICATION/JSON",
        "application/json ; charset=utf-8",
        "application/json;charset=UTF-8",
        'application/json;  Charset="Utf-8"',
        "application/json; charset = utf-8",
        "application/json;",
        " application/json ",
        "application/json; profile=x; charset=us-ascii",
        "application/problem+json",
        "Application/Problem+JSON ; charset=utf-8",
        "",
    ],
)
def test_media_type_of_json_is_read_in_any_spelling(content_type):
    """RFC 9110 8.3.1: type, subtype and names of parameters have no case; white space may surround the semicolon."""
    assert read_object(response({"a": 1}, content_type=content_type)) == {"a": 1}
    assert (
        type(read_error(response({"error": "invalid_scope"}, 400, content_type), CONTEXT)) is errors.InvalidScopeError
    )


@pytest.mark.parametrize(
    ("content_type", "reason"),
    [
        ("application/jsonx", "the content type is not JSON"),
        ("application/json+xml", "the content type is not JSON"),
        ("text/json", "the content type is not JSON"),
        ("Text/HTML ; charset=utf-8", "the content type is not JSON"),
        ("application/json, text/html", "the content type is not JSON"),
        ("application/json ; charset=iso-8859-1", "the charset is not UTF-8"),
        ('application/json; CHARSET="UTF-16"', "the charset is not UTF-8"),
        ("application/json; profile=x; charset=latin1", "the charset is not UTF-8"),
    ],
)
def test_other_media_type_or_charset_is_named(content_type, reason):
    with pytest.raises(Unreadable, match=reason):
        read_object(response({"a": 1}, content_type=content_type))


def test_response_without_a_content_type_is_read():
    assert read_object(Response(status=200, headers=CIMultiDict(), body=b'{"a": 1}')) == {"a": 1}


@pytest.mark.parametrize(
    ("body", "description"),
    [
        ({"error_description": "", "message": "m", "detail": "d"}, "m"),
        ({"error_description": "", "message": "", "detail": "d", "title": "t"}, "d"),
        ({"error_description": None, "message": 5, "detail": [], "title": "t", "user_error": "u"}, "t"),
        ({"message": "", "user_error": "u"}, "u"),
        ({"error_description": "", "message": ""}, None),
        ({"error_description": "first", "message": "m"}, "first"),
    ],
)
def test_empty_description_falls_to_the_next_member(body, description):
    error = read_error(response({"error": "x", **body}, 400), CONTEXT)
    assert error.description == description
    assert str(error) == ("400 x" if description is None else f"400 x: {description}")


@pytest.mark.parametrize(
    ("body", "more_info"),
    [
        ({"more_info": "", "error_uri": "https://e/1", "type": "https://e/2"}, "https://e/1"),
        ({"more_info": "", "error_uri": "", "type": "https://e/2"}, "https://e/2"),
        ({"more_info": "https://e/0", "error_uri": "https://e/1"}, "https://e/0"),
    ],
)
def test_empty_link_falls_to_the_next_member(body, more_info):
    assert read_error(response({"error": "x", **body}, 400), CONTEXT).more_info == more_info


@pytest.mark.parametrize("status", [200, 201, 299])
@pytest.mark.parametrize(
    ("body", "error", "code"),
    [
        ({"error": "foo"}, "foo", None),
        ({"error": "foo", "error_description": "d"}, "foo", None),
        ({"error": {"code": 12345, "message": "m"}}, None, 12345),
        ({"error": None}, None, None),
        ({"code": 99999, "message": "m"}, None, 99999),
    ],
)
def test_success_status_with_an_unknown_error_is_an_api_error(status, body, error, code):
    """Only a body without the required member is looked at: it says what is wrong, and so it is no `ProtocolError`."""
    result = device_authorization.parse_device_code(response(body, status), CONTEXT)
    assert type(result) is errors.ApiError
    assert (result.status, result.error, result.code) == (status, error, code)


@pytest.mark.parametrize("body", [{}, {"message": "m"}, {"code": 0}, {"code": "0"}, {"code": -1}, {"code": 0.5}])
def test_success_status_without_code_and_error_is_a_protocol_error(body):
    """0 is no error number: some servers send it with every success."""
    assert not describes_error(body)
    assert type(device_authorization.parse_device_code(response(body, 200), CONTEXT)) is errors.ProtocolError


def test_success_with_code_0_and_the_required_member_is_a_success():
    body = {"code": 0, "device_code": "d", "user_code": "u", "verification_uri": "https://e.example"}
    assert device_authorization.parse_device_code(response(body, 200), CONTEXT).device_code == "d"


@pytest.mark.parametrize(("code", "expected"), [(0, None), ("0", None), (1, 1), (9_999_999, 9_999_999), (10**7, None)])
def test_error_number_is_between_1_and_9999999(code, expected):
    assert read_error(response({"code": code, "message": "m"}, 400), CONTEXT).code == expected


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (199, errors.ApiError),
        (200, Certs),
        (299, Certs),
        (300, errors.ProtocolError),
        (399, errors.ProtocolError),
        (400, errors.ApiError),
        (499, errors.ApiError),
        (500, errors.ServerError),
        (599, errors.ServerError),
    ],
)
def test_status_decides_at_its_limits(status, kind):
    result = parse(response({"keys": []}, status), CONTEXT, Certs)
    assert type(result) is kind
    if kind is errors.ProtocolError:
        assert str(result).startswith("redirects are not followed")
