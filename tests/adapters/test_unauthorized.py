import time

import pytest

from twilio_oauth_async.adapters.unauthorized import MAX_BODY, body_says_invalid, challenges_say_invalid


@pytest.mark.parametrize(
    "challenges",
    [
        ['Bearer realm="example", error="invalid_token", error_description="The access token expired"'],  # RFC 6750 3
        ["bearer ERROR=invalid_token"],
        ['Bearer error = "invalid_token"'],
        ['Bearer realm="a \\", b", error="invalid_\\token"'],
        ['Basic realm="Twilio API", Bearer realm="x", error="invalid_token"'],
        ["Negotiate YII=", "Bearer error=invalid_token"],
        ['Negotiate abc==, Bearer scope="a b",error="invalid_token"'],
        ['Bearer realm="", error="invalid_token", Basic realm="x"'],
    ],
)
def test_challenge_with_invalid_token_means_invalid_token(challenges):
    assert challenges_say_invalid(challenges) is True


@pytest.mark.parametrize(
    "challenges",
    [
        [],
        [""],
        ["Bearer"],
        ['Bearer realm="x"'],
        ['Bearer error="insufficient_scope"'],
        ['Bearer error="invalid_token_2"'],
        ['Bearer error_description="invalid_token"'],
        ['Bearer realm="error=\\"invalid_token\\""'],
        ['Bearer realm="x, error=invalid_token"'],
        ['Basic realm="x", error="invalid_token"'],
        ['Bearer realm="x", Basic error="invalid_token"'],
        ['DPoP error="invalid_token"'],
        ['error="invalid_token"'],
        ['Bearer x_error="invalid_token"'],
    ],
)
def test_other_challenge_does_not_mean_invalid_token(challenges):
    assert not challenges_say_invalid(challenges)


@pytest.mark.parametrize(
    "body",
    [
        b'{"code": 20003, "message": "Authenticate", "more_info": "https://www.twilio.com/docs/errors/20003"}',
        b'{"code": "20003"}',
        b'{"errors": [{"code": 20003}]}',
        b'{"error": {"code": 20003}}',
        b'{"error": "invalid_token"}',
        b"<?xml version='1.0'?>\n<TwilioResponse><RestException><Code>20003</Code></RestException></TwilioResponse>",
    ],
)
def test_body_with_error_20003_means_invalid_token(body):
    assert body_says_invalid(body)


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"20003",
        b"[20003]",
        b'{"message": "20003"}',
        b'{"code": 20004}',
        b'{"code": 200030}',
        b'{"code": 20003',
        b'{"code": 20003, "code": 1}',
        b'{"code": true}',
        b'{"error": "invalid_client"}',
        b"<Code>20004</Code>",
        b"<html>20003</html>",
        b"\xff\xfe{}",
        b"[" * MAX_BODY,
    ],
)
def test_other_body_does_not_mean_invalid_token(body):
    assert not body_says_invalid(body)


@pytest.mark.parametrize("part", ['Bearer a="', "a=", '"\\', "a", "a ", "a= \t", 'a="\\', ", ="])
def test_parsing_a_long_hostile_challenge_takes_linear_time(part):
    header = part * (300_000 // len(part))  # many times what a client accepts; quadratic time would be minutes
    started = time.process_time()
    assert not challenges_say_invalid([header])
    assert not body_says_invalid(header.encode()[:MAX_BODY])
    assert time.process_time() - started < 2
