"""Makes the endpoint methods of `OAuthSession` from the build and parse functions of `protocol`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from twilio_oauth_async.errors import TwilioOAuthError
from twilio_oauth_async.protocol.messages import Context, Request, Response
from twilio_oauth_async.protocol.response_parsing import Parsed

if TYPE_CHECKING:
    from twilio_oauth_async.client.session import OAuthSession

T = TypeVar("T")
P = ParamSpec("P")
Parse: TypeAlias = Callable[[Response, Context], Parsed[T]]
Endpoint: TypeAlias = Callable[Concatenate["OAuthSession", P], Coroutine[Any, Any, T]]


def sends(
    build: Callable[P, Request], parse: Parse[T], model: type[T]
) -> Callable[[Callable[[OAuthSession], None]], Endpoint[P, T]]:
    """Return a decorator that gives an empty method the parameters of `build`, and makes it send the request."""

    def decorate(method: Callable[[OAuthSession], None]) -> Endpoint[P, T]:
        @functools.wraps(method)
        async def endpoint(self: OAuthSession, /, *args: P.args, **kwargs: P.kwargs) -> T:
            return model_or_raise(await self.exchange(build(*args, **kwargs), parse))

        # help(), editors and Sphinx read the signature and the annotations.
        own, built = inspect.signature(method), inspect.signature(build)
        parameters = [*own.parameters.values(), *built.parameters.values()]
        endpoint.__dict__["__signature__"] = built.replace(parameters=parameters, return_annotation=model.__name__)
        endpoint.__annotations__ = {**build.__annotations__, "return": model.__name__}
        return endpoint

    return decorate


def model_or_raise(outcome: T | TwilioOAuthError) -> T:
    """Return `outcome` if it is a model; raise it if it is an error."""
    if isinstance(outcome, TwilioOAuthError):
        raise outcome
    return outcome
