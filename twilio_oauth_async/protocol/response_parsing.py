"""Parse any response: check its status, decode the JSON, and build the model or the error.

A parse function returns the model, or the error that the response describes. It does not raise the error: the caller
raises it (`OAuthSession`) or interprets it (`polling`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

from twilio_oauth_async.errors import ApiError, ProtocolError
from twilio_oauth_async.protocol import codec, strict_json
from twilio_oauth_async.protocol.error_responses import (
    Unreadable,
    describes_error,
    error_from_body,
    protocol_error,
    read_error,
    read_object,
)
from twilio_oauth_async.protocol.messages import Context, Response

T = TypeVar("T")
Parsed: TypeAlias = T | ApiError | ProtocolError
"""Result of a parse function: the model, or the error that the response describes."""


def parse(
    response: Response,
    context: Context,
    kind: type[T],
    prepare: Callable[[Mapping[str, object]], Mapping[str, object]] | None = None,
    *,
    required: str | None = None,
    read: Callable[[Response], Mapping[str, object]] = read_object,
) -> Parsed[T]:
    """Parse any response as `kind`: every 2xx is a success (v1 sends 201 where v2 sends 200).

    Any other status is an error. A 2xx without the `required` member is an error, too: the one that its body describes,
    or a `ProtocolError`. `read` returns the JSON object in the body of a success.
    """
    if not 200 <= response.status < 300:
        return read_error(response, context)
    reason: str
    try:
        body = read(response)
        if required is not None and body.get(required) is None and describes_error(body):
            return error_from_body(response, body, context)
        if prepare is not None:
            body = prepare(body)
        # RFC 6749 5.1: unknown members are ignored. In this contract null means the same as absent.
        return codec.structure({name: value for name, value in body.items() if value is not None}, kind)
    except (Unreadable, strict_json.Malformed) as error:
        reason = str(error)
    return protocol_error(response, reason, context)


def check_text(name: str, value: object, is_valid: Callable[[str], bool]) -> None:
    """Check a string. A value that is not a string is ignored here; `codec.structure` checks it.

    Raises:
        Malformed: `value` is a string for which `is_valid` returns False.
    """
    if isinstance(value, str) and not is_valid(value):
        raise strict_json.Malformed(f"{name}: empty, or contains characters that are not allowed")
