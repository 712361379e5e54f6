"""The endpoint methods of `OAuthSession`, which get their parameters from the build functions of `protocol`."""

import inspect
import typing

import pytest

from twilio_oauth_async import OAuthSession, Token
from twilio_oauth_async.protocol import device_authorization, discovery, token_endpoint

METHODS = {
    "fetch_openid_discovery": discovery.build_openid_discovery,
    "fetch_certs": discovery.build_certs,
    "create_device_code": device_authorization.build_device_code,
    "create_token": token_endpoint.build_token,
    "create_token_v2": token_endpoint.build_token_v2,
}


@pytest.mark.parametrize(("name", "build"), METHODS.items())
def test_endpoint_method_has_the_parameters_of_its_build_function(name, build):
    method = getattr(OAuthSession, name)
    parameters = [*inspect.signature(method).parameters.values()]
    assert [parameters[0].name, *parameters[1:]] == ["self", *inspect.signature(build).parameters.values()]
    assert inspect.iscoroutinefunction(method)
    assert method.__doc__
    assert method.__qualname__ == f"OAuthSession.{name}"


def test_endpoint_method_has_type_hints_that_resolve():
    assert typing.get_type_hints(OAuthSession.create_token)["return"] is Token


@pytest.mark.asyncio
async def test_endpoint_method_with_unknown_argument_raises_type_error():
    with pytest.raises(TypeError, match="device"):
        await OAuthSession().create_token(grant_type="x", client_sid="OQ1", device="tv")
