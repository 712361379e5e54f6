import copy
import inspect
import pickle

import pytest

from twilio_oauth_async import errors


def every_error():
    return [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, Exception)]


def test_every_error_is_in_the_tree_of_the_module_docstring():
    for kind in every_error():
        assert kind.__name__ in errors.__doc__
        assert issubclass(kind, errors.TwilioOAuthError)


def test_configuration_error_is_a_value_error():
    assert issubclass(errors.ConfigurationError, ValueError)


@pytest.mark.parametrize("kind", [errors.AccessDeniedError, errors.DeviceCodeExpiredError])
def test_end_of_a_device_flow_is_device_flow_error_and_api_error(kind):
    assert issubclass(kind, errors.DeviceFlowError)
    assert issubclass(kind, errors.ApiError)


def test_api_error_message():
    error = errors.ApiError(
        status=401,
        error="invalid_client",
        code=20003,
        description="Authenticate",
        more_info="https://www.twilio.com/docs/errors/20003",
        request_id="RQ1",
    )
    assert str(error) == "401 invalid_client Twilio error 20003: Authenticate (request RQ1)"
    assert str(errors.ServerError(status=502)) == "502"
    assert str(errors.DeviceCodeExpiredError(description="too late")) == "too late"
    assert str(errors.ApiError()) == "error response"


def test_protocol_error_message_describes_the_response():
    error = errors.ProtocolError("not JSON", status=200, content_type="text/html", length=7, request_id="RQ1")
    assert str(error) == "not JSON (status 200, text/html, 7 bytes, request RQ1)"
    assert str(errors.ProtocolError("no head")) == "no head"


@pytest.mark.parametrize(
    "error",
    [
        errors.ApiError(status=400, error="x", retry_after=3.0),
        errors.TransportError("closed", attempts=3, elapsed=1.5),
        errors.ProtocolError("invalid", status=204),
        errors.IdTokenError("invalid", claim="aud"),
        errors.AuthorizationError("invalid", error="access_denied"),
        errors.ConfigurationError("invalid"),
        errors.LoginRequired("sign in", reason="scopes"),
        errors.RevocationUnsupported("no endpoint"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_can_be_pickled_and_copied(error):
    for duplicate in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(duplicate) is type(error)
        assert str(duplicate) == str(error)
        assert vars(duplicate) == vars(error)


def test_login_required_has_a_reason():
    assert errors.LoginRequired("sign in").reason == "never_signed_in"
    assert errors.LoginRequired("sign in again", reason="signed_out").reason == "signed_out"


def test_revocation_unsupported_is_no_mistake_of_the_caller():
    assert not issubclass(errors.RevocationUnsupported, errors.ConfigurationError)
