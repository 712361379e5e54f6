"""What failed calls mean for the life of a token, and the errors of callers. See tests/faults/README.md."""

import copy

import pytest

from tests.helpers.token_states import login, stored
from twilio_oauth_async import ConfigurationError
from twilio_oauth_async.errors import (
    AnswerLostError,
    ApiError,
    IdTokenError,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    LoginRequired,
    ProtocolError,
    RateLimitedError,
    ServerError,
    StoreConflict,
    StoreError,
    TransportError,
    TwilioOAuthError,
    UnauthorizedClientError,
)
from twilio_oauth_async.tokens.failures import copy_of, login_required, request_failed, store_failed
from twilio_oauth_async.tokens.state import Kind

SECRET = "refresh-token-of-the-user"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(InvalidGrantError(status=400), Kind.REFUSED, id="25: invalid_grant"),
        pytest.param(LoginRequired("no refresh token"), Kind.REFUSED, id="25: the grant says that a login is required"),
        pytest.param(TransportError("refused"), Kind.UNPROCESSED, id="35: nothing was sent"),
        pytest.param(AnswerLostError("reset"), Kind.MAYBE_PROCESSED, id="25: response lost"),
        pytest.param(RateLimitedError(status=429), Kind.UNPROCESSED, id="10: 429"),
        pytest.param(ConfigurationError("the session is closed"), Kind.UNPROCESSED, id="42: session closed"),
        pytest.param(StoreError("disk"), Kind.UNPROCESSED, id="38: a store that the grant uses failed"),
        pytest.param(InvalidClientError(status=401), Kind.CLIENT_REFUSED, id="34: invalid_client"),
        pytest.param(UnauthorizedClientError(status=400), Kind.CLIENT_REFUSED, id="34: unauthorized_client"),
        pytest.param(InvalidRequestError(status=400), Kind.CLIENT_REFUSED, id="34: invalid_request"),
        pytest.param(ApiError(status=404), Kind.CLIENT_REFUSED, id="34: unknown code"),
        pytest.param(IdTokenError("other user", claim="sub"), Kind.CLIENT_REFUSED, id="43: ID token of another user"),
        pytest.param(ServerError(status=500), Kind.MAYBE_PROCESSED, id="12: 500"),
        pytest.param(ServerError(status=503), Kind.MAYBE_PROCESSED, id="12: 503"),
        pytest.param(ApiError(status=408), Kind.MAYBE_PROCESSED, id="12: 408"),
        pytest.param(ProtocolError("not JSON", status=200), Kind.MAYBE_PROCESSED, id="25: response unreadable"),
        pytest.param(TwilioOAuthError("other"), Kind.MAYBE_PROCESSED, id="25: any other error of the library"),
    ],
)
def test_kind_of_a_failed_request(error, kind):
    failed = request_failed(error, stored())
    assert (failed.kind, failed.of, failed.error, failed.retry_after) == (kind, stored(), error, 0.0)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(ServerError(status=503, retry_after=7200.0), 7200.0, id="36: of a 503"),
        pytest.param(RateLimitedError(status=429, retry_after=3.0), 3.0, id="10: of a 429"),
        pytest.param(ServerError(status=503), 0.0, id="absent"),
    ],
)
def test_retry_after_of_a_failed_request(error, expected):
    assert request_failed(error, None).retry_after == expected


def test_38_exception_of_a_grant_that_is_not_of_the_library_names_only_its_type():
    failed = request_failed(RuntimeError(SECRET), stored())
    assert (failed.kind, str(failed.error)) == (Kind.MAYBE_PROCESSED, "the grant raised RuntimeError")
    assert type(failed.error) is TwilioOAuthError
    assert failed.error.__cause__ is failed.error.__context__ is None


@pytest.mark.parametrize(
    ("error", "is_conflict"),
    [
        pytest.param(StoreError("disk full"), False, id="24: the store failed"),
        pytest.param(StoreConflict("newer"), True, id="22: the store has something newer"),
        pytest.param(TransportError("reset"), False, id="38: another error of the library"),
    ],
)
def test_failure_of_a_store(error, is_conflict):
    failed = store_failed(error, "save")
    assert failed.error is error
    assert failed.is_conflict is is_conflict


def test_38_exception_of_a_store_that_is_not_of_the_library_names_only_its_type_and_the_method():
    failed = store_failed(KeyError(SECRET), "load")
    assert (str(failed.error), failed.is_conflict) == ("the token store raised KeyError in load()", False)
    assert type(failed.error) is StoreError
    assert failed.error.__cause__ is failed.error.__context__ is None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        pytest.param(login("never_signed_in"), "the user has not signed in yet", id="never signed in"),
        pytest.param(login("refused"), "does not accept the refresh token any more; token(", id="25: refused"),
        pytest.param(
            login("refused", was_lost=True),
            "any more; the response to an earlier refresh was lost, so it may be used; token(login=True)",
            id="25: refused after a lost response",
        ),
        pytest.param(login("expired"), "no refresh token that is still valid", id="25: expired"),
        pytest.param(login("scopes"), "was requested with fewer scopes or audiences", id="41: fewer scopes"),
        pytest.param(login("signed_out"), "the user has signed out", id="42: signed out"),
    ],
)
def test_message_of_a_login_that_is_required(asked, message):
    error = login_required(asked)
    assert message in str(error)
    assert str(error).endswith("; token(login=True) or login() runs the grant")
    assert error.reason == asked.reason


def test_40_copy_of_an_error_has_its_attributes_and_no_traceback_context_or_cause():
    with pytest.raises(ServerError) as caught:
        raise ServerError(status=503, retry_after=5.0) from ValueError(SECRET)
    copied = copy_of(caught.value)
    assert copied is not caught.value
    assert (type(copied), str(copied), copied.status, copied.retry_after) == (ServerError, str(caught.value), 503, 5.0)
    assert copied.__traceback__ is copied.__context__ is copied.__cause__ is None
    assert copy.copy(copied) is not copied
