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
HOLDERS = [
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


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
def test_secrets_are_in_no_repr_and_no_pickle(holder):
    assert SECRET not in repr(holder)
    assert SECRET not in str(holder)
    assert SECRET not in f"{holder}"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="refuses to be pickled"):
            pickle.dumps(holder, protocol)
    assert copy.copy(holder) is holder
    assert copy.deepcopy(holder) is holder


@pytest.mark.parametrize("kind", [OpenidDiscovery, Certs, DeviceCode, Token, UserInfo, DeviceAuthorization, Request])
def test_models_are_frozen_and_slotted(kind):
    assert "__slots__" in vars(kind)
    value = object.__new__(kind)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, attrs.fields(kind)[0].name, "x")


@pytest.mark.parametrize("value", [TOKEN, AUTHORIZATION], ids=lambda value: type(value).__name__)
def test_json_survives_a_restart(value):
    assert type(value).from_json(value.to_json()) == value


def test_sparse_token_survives_too():
    assert Token.from_json(Token(access_token="x").to_json()) == Token(access_token="x")


@pytest.mark.parametrize("text", [None, 3, {}])
def test_what_is_no_text_is_told(text):
    with pytest.raises(ConfigurationError, match="not a stored Token: not even text"):
        Token.from_json(text)


@pytest.mark.parametrize("name", ["access_token_expires_at", "refresh_token_expires_at"])
def test_a_naive_date_is_refused_where_it_comes_from(name):
    with pytest.raises(ConfigurationError, match=f"{name} must be an aware datetime"):
        Token(access_token="a", **{name: datetime(2026, 1, 1)})  # noqa: DTZ001


@pytest.mark.parametrize("interval", ["0", "-1", "true", "null", '"5"'])
def test_a_stored_flow_without_a_pause_between_polls_is_refused(interval):
    text = AUTHORIZATION.to_json().replace("7.5", interval)
    with pytest.raises(ConfigurationError, match="interval"):
        DeviceAuthorization.from_json(text)


@pytest.mark.parametrize(
    ("seconds", "ends"),
    [(-0.001, False), (-1, False), (0, True), (59.999, True), (60, True)],
)
def test_expiry_edges(seconds, ends):
    token = Token(access_token="x", access_token_expires_at=NOW + timedelta(seconds=0))
    assert token.expires_within(seconds, NOW) is ends
    later = Token(access_token="x", access_token_expires_at=NOW + timedelta(seconds=60))
    assert later.expires_within(seconds, NOW) is (seconds == 60)


def test_unknown_expiry_never_ends():
    assert not Token(access_token="x").expires_within(10**9, NOW)


def test_user_sid_follows_the_pattern_of_the_contract():
    assert UserInfo(user_sid="US" + "0aF" * 10 + "00").user_sid
    for wrong in ("US", "AC" + "0" * 32, "US" + "g" * 32, "US" + "0" * 33, "US" + "0" * 32 + "\n"):
        with pytest.raises(ConfigurationError, match=r"^user_sid: not US"):
            UserInfo(user_sid=wrong)


def test_instructions_name_link_code_app_and_scopes_and_warn():
    text = AUTHORIZATION.instructions("Call Center")
    for part in (
        "https://example.com/activate?user_code=ABCD-EFGH",
        "ABCD-EFGH",
        "https://example.com/activate)",
        "Call Center",
        "openid, calls:read",
        "never enter a code that somebody sent you",
    ):
        assert part in text
    assert SECRET not in text
    plain = attrs.evolve(AUTHORIZATION, verification_uri_complete=None).instructions()
    assert "open https://example.com/activate\nand enter the code ABCD-EFGH" in plain
    assert "OQ1" in plain
