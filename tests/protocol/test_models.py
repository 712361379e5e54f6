import copy
import pickle
from datetime import UTC, datetime, timedelta

import attrs
import pytest

from twilio_oauth_async import (
    Certs,
    ConfigurationError,
    DeviceAuthorization,
    DeviceCode,
    OpenidDiscovery,
    Token,
    UserInfo,
)
from twilio_oauth_async.protocol.messages import Context, Request, Response

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "s3cr3t-canary"
TOKEN = Token(
    access_token=SECRET,
    access_token_expires_at=NOW,
    refresh_token=SECRET,
    refresh_token_expires_at=NOW + timedelta(days=1),
    id_token=SECRET,
    scope="openid",
)
AUTHORIZATION = DeviceAuthorization(
    client_sid="OQ1",
    scopes=("openid", "calls:read"),
    audiences=("api",),
    device_code=SECRET,
    user_code="ABCD-EFGH",
    verification_uri="https://example.com/activate",
    verification_uri_complete="https://example.com/activate?user_code=ABCD-EFGH",
    interval=7.5,
    expires_at=NOW + timedelta(seconds=300),
    next_poll_at=NOW + timedelta(seconds=7),
    faults=2,
    answer_lost=True,
)
VALUES_WITH_SECRETS = [
    TOKEN,
    AUTHORIZATION,
    DeviceCode(device_code=SECRET, user_code="A", verification_uri="https://example.com"),
    Request(
        method="POST",
        path="/",
        headers={"Authorization": SECRET},
        body=SECRET.encode(),
        secrets=(SECRET,),
        repeatable=False,
    ),
    Response(status=200, headers={"X": SECRET}, body=SECRET.encode()),
    Context(now=NOW, base_url="https://example.com", sent=(SECRET,)),
]


@pytest.mark.parametrize("value", VALUES_WITH_SECRETS, ids=lambda value: type(value).__name__)
def test_values_with_secrets_hide_them_in_repr_and_refuse_pickle(value):
    assert SECRET not in repr(value)
    assert SECRET not in str(value)
    assert SECRET not in f"{value}"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="refuses to be pickled"):
            pickle.dumps(value, protocol)
    assert copy.copy(value) is value
    assert copy.deepcopy(value) is value


@pytest.mark.parametrize("kind", [OpenidDiscovery, Certs, DeviceCode, Token, UserInfo, DeviceAuthorization, Request])
def test_models_are_frozen_and_slotted(kind):
    assert "__slots__" in vars(kind)
    value = object.__new__(kind)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, attrs.fields(kind)[0].name, "x")


@pytest.mark.parametrize("value", [TOKEN, AUTHORIZATION], ids=lambda value: type(value).__name__)
def test_from_json_restores_output_of_to_json(value):
    assert type(value).from_json(value.to_json()) == value


def test_from_json_restores_token_with_access_token_only():
    assert Token.from_json(Token(access_token="x").to_json()) == Token(access_token="x")


@pytest.mark.parametrize("text", [None, 3, {}])
def test_from_json_with_neither_str_nor_bytes_raises(text):
    with pytest.raises(ConfigurationError, match="cannot restore a Token from JSON: neither str nor bytes"):
        Token.from_json(text)


@pytest.mark.parametrize("name", ["access_token_expires_at", "refresh_token_expires_at"])
def test_token_with_naive_date_raises(name):
    with pytest.raises(ConfigurationError, match=f"{name} must be an aware datetime"):
        Token(access_token="a", **{name: datetime(2026, 1, 1)})  # noqa: DTZ001


@pytest.mark.parametrize("interval", ["0", "-1", "true", "null", '"5"'])
def test_from_json_of_device_authorization_with_invalid_interval_raises(interval):
    text = AUTHORIZATION.to_json().replace("7.5", interval)
    with pytest.raises(ConfigurationError, match="interval"):
        DeviceAuthorization.from_json(text)


@pytest.mark.parametrize(
    ("seconds", "expires"),
    [(-0.001, False), (-1, False), (0, True), (59.999, True), (60, True)],
)
def test_expires_within_at_the_limits(seconds, expires):
    token = Token(access_token="x", access_token_expires_at=NOW + timedelta(seconds=0))
    assert token.expires_within(seconds, NOW) is expires
    later = Token(access_token="x", access_token_expires_at=NOW + timedelta(seconds=60))
    assert later.expires_within(seconds, NOW) is (seconds == 60)


def test_expires_within_with_unknown_expiry_is_false():
    assert not Token(access_token="x").expires_within(10**9, NOW)


def test_user_info_with_invalid_user_sid_raises():
    assert UserInfo(user_sid="US" + "0aF" * 10 + "00").user_sid
    for wrong in ("US", "AC" + "0" * 32, "US" + "g" * 32, "US" + "0" * 33, "US" + "0" * 32 + "\n"):
        with pytest.raises(ConfigurationError, match=r"^user_sid: not US"):
            UserInfo(user_sid=wrong)
