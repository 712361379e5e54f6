"""Per endpoint one function that builds the request and one that reads the answer. Pure: time and URL come in.

A parse function gives the model or, as a value, the error that the answer stands for; whether it is raised (by a
session) or judged (by a poll) is for others to say.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar
from urllib.parse import urljoin, urlsplit

from twilio_oauth_async.errors import ApiError, ConfigurationError, ProtocolError
from twilio_oauth_async.protocol import codec, endpoints, form
from twilio_oauth_async.protocol.error_responses import (
    Unreadable,
    error_from_body,
    protocol_error,
    read_error,
    read_object,
    says_error,
)
from twilio_oauth_async.protocol.messages import Context, Request, Response
from twilio_oauth_async.protocol.models import Certs, DeviceCode, OpenidDiscovery, Token, UserInfo

T = TypeVar("T")
Parsed: TypeAlias = T | ApiError | ProtocolError
"""What a parse function gives: the model, or the error that the answer stands for."""

DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
"""RFC 8628 3.4. Twilio's own literal is not documented; a caller who knows another can give it."""

MAX_EXPIRES_IN = 10 * 365 * 86_400
"""Seconds. A token's ``expires_in`` beyond ten years is taken for a mistake, and its end for unknown."""

_log = logging.getLogger(__name__)

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 3.3: scope-token


def build_openid_discovery() -> Request:
    """``GET /v1/.well-known/openid-configuration``."""
    return Request(method="GET", path=endpoints.DISCOVERY, repeatable=True)


def parse_openid_discovery(response: Response, context: Context) -> Parsed[OpenidDiscovery]:
    """`OpenidDiscovery` as it stands; what in it can be trusted is judged where it is used."""
    return _parse(response, context, OpenidDiscovery)


def build_certs() -> Request:
    """``GET /v1/certs``."""
    return Request(method="GET", path=endpoints.CERTS, repeatable=True)


def parse_certs(response: Response, context: Context) -> Parsed[Certs]:
    """`Certs` with the keys as they stand."""
    return _parse(response, context, Certs)


def build_device_code(*, client_sid: str, scopes: Sequence[str], audiences: Sequence[str] = ()) -> Request:
    """``POST /v1/device/code`` (RFC 8628 3.1); scopes and audiences as repeated keys.

    Raises:
        ConfigurationError: an empty `client_sid`, no scope, or a scope or audience that cannot be sent.
    """
    check_client(client_sid)
    check_scopes(scopes)
    if not scopes:
        # RFC 9700 2.3: least privilege; there is no default that would be right for everybody.
        raise ConfigurationError("scopes must name at least one scope, for example ['openid']")
    _check_list("audiences", audiences, form.VISIBLE, "an audience is printable ASCII without spaces")
    return Request(
        method="POST",
        path=endpoints.DEVICE_CODE,
        headers=form.HEADERS,
        body=form.encode(
            [("ClientSid", client_sid), *(("Scopes", s) for s in scopes), *(("Audiences", a) for a in audiences)]
        ),
        repeatable=True,  # an unused code just expires
    )


def parse_device_code(response: Response, context: Context) -> Parsed[DeviceCode]:
    """`DeviceCode` with absolute URIs, and numbers that may have stood as text."""

    def prepare(body: Mapping[str, object]) -> Mapping[str, object]:
        read = dict(body)
        for name in ("expires_in", "interval"):
            read[name] = codec.read_number(body.get(name))
            if read[name] is None and body.get(name) is not None:
                _log.warning("the device code's %s is not a number; taken for not given", name)
        for name in ("device_code", "user_code"):
            _check_text(name, body.get(name), form.PRINTABLE)
        for name in ("verification_uri", "verification_uri_complete"):
            read[name] = _absolute(name, body.get(name), context.base_url)
        return read

    return _parse(response, context, DeviceCode, prepare, required="device_code")


def build_token(
    *,
    grant_type: str,
    client_sid: str,
    client_secret: str | None = None,
    code: str | None = None,
    code_verifier: str | None = None,
    device_code: str | None = None,
    device_id: str | None = None,
    refresh_token: str | None = None,
) -> Request:
    """``POST /v1/token`` (RFC 6749 4.1.3 and 6, RFC 8628 3.4); sent once, whatever happens.

    Raises:
        ConfigurationError: an empty `client_sid` or `grant_type`, or a value with control characters.
    """
    check_client(client_sid)
    secrets = {
        "ClientSecret": client_secret,
        "Code": code,
        "CodeVerifier": code_verifier,
        "DeviceCode": device_code,
        "RefreshToken": refresh_token,
    }
    given = form.given({"GrantType": grant_type, "ClientSid": client_sid, **secrets, "DeviceId": device_id})
    return Request(
        method="POST",
        path=endpoints.TOKEN,
        headers=form.HEADERS,
        body=form.encode(given.items()),
        secrets=tuple(value for value in secrets.values() if value),
        repeatable=False,
        # A poll that is lost costs nothing, since nobody has the token; a refresh or a code exchange is lost for good.
        fresh_connection=refresh_token is not None or code is not None,
    )


def parse_token(response: Response, context: Context) -> Parsed[Token]:
    """`Token`, from a v1 answer with dates or from one with ``expires_in`` (RFC 6749 5.1)."""

    def prepare(body: Mapping[str, object]) -> Mapping[str, object]:
        for name in ("access_token", "refresh_token", "id_token"):
            # RFC 6750 2.1: a token goes into a header; a line break in it would end the header.
            _check_text(name, body.get(name), form.VISIBLE)
        token_type = body.get("token_type")
        if token_type is not None and not (isinstance(token_type, str) and token_type.lower() == "bearer"):
            raise codec.Malformed("token_type: only Bearer is understood")  # RFC 6749 7.1
        return {
            **body,
            "token_type": "Bearer",
            "access_token_expires_at": _read_expiry(body, "access_token_expires_at", "expires_in", context.now),
            "refresh_token_expires_at": _read_expiry(
                body, "refresh_token_expires_at", "refresh_token_expires_in", context.now
            ),
        }

    return _parse(response, context, Token, prepare, required="access_token")


def build_user_info(access_token: str | None = None) -> Request:
    """``GET /v1/userinfo``, with the access token where there is one, else with the session's own credentials.

    Raises:
        ConfigurationError: an access token that cannot stand in a header.
    """
    if access_token is None:
        return Request(method="GET", path=endpoints.USER_INFO, repeatable=True)
    if not _is_visible(access_token):
        raise ConfigurationError("access_token must be the text in a token: printable ASCII, no spaces, not empty")
    return Request(
        method="GET",
        path=endpoints.USER_INFO,
        headers={"Authorization": f"Bearer {access_token}"},  # RFC 6750 2.1; never in the URL (RFC 9700 4.3.2)
        secrets=(access_token,),
        repeatable=True,
    )


def parse_user_info(response: Response, context: Context) -> Parsed[UserInfo]:
    """`UserInfo`."""
    return _parse(response, context, UserInfo)


def build_revocation(url: str, token: str, *, client_sid: str, client_secret: str | None = None) -> Request:
    """``POST`` to the revocation endpoint that discovery names (RFC 7009 2.1); sent once.

    Args:
        url: a `server_metadata.trusted_endpoint`.
        token: an access or a refresh token.
        client_sid: the app that it was issued to.
        client_secret: of a confidential app.

    Raises:
        ConfigurationError: a value that cannot be sent.
    """
    check_client(client_sid)
    fields = form.given({"token": token, "client_id": client_sid, "client_secret": client_secret})
    return Request(
        method="POST",
        path=urlsplit(url).path,
        url=url,
        headers=form.HEADERS,
        body=form.encode(fields.items()),
        secrets=tuple(secret for secret in (token, client_secret) if secret),
        repeatable=False,
    )


def parse_revocation(response: Response, context: Context) -> Parsed[None]:
    """None for a success, whatever stands in its body (RFC 7009 2.2)."""
    return None if 200 <= response.status < 300 else read_error(response, context)


def check_client(client_sid: object) -> None:
    """Refuse a client id that cannot be one.

    Raises:
        ConfigurationError: empty, or not printable ASCII without spaces.
    """
    if not isinstance(client_sid, str) or not form.VISIBLE.fullmatch(client_sid):
        raise ConfigurationError("client_sid must be the SID of your OAuth app, such as OQ and 32 letters or digits")


def check_scopes(scopes: Sequence[str]) -> None:
    """Refuse scopes that cannot be sent (RFC 6749 3.3).

    Raises:
        ConfigurationError: no list, or one that holds something else than a scope.
    """
    _check_list("scopes", scopes, _SCOPE, "a scope is one word of printable ASCII without quotes or backslashes")


def _parse(
    response: Response,
    context: Context,
    kind: type[T],
    prepare: Callable[[Mapping[str, object]], Mapping[str, object]] | None = None,
    *,
    required: str | None = None,
) -> Parsed[T]:
    """The way of every answer: a success in any 2xx (Twilio's v1 says 201 where v2 says 200), else an error.

    An error inside of a success is one too, where the member that would make it a success is missing.
    """
    if not 200 <= response.status < 300:
        return read_error(response, context)
    reason: str
    try:
        body: Mapping[str, object] = read_object(response)
        if required is not None and body.get(required) is None and says_error(body):
            return error_from_body(response, body, context)
        if prepare is not None:
            body = prepare(body)
        # RFC 6749 5.1: unknown members are ignored. A null is the same as an absent one in this contract.
        return codec.structure({name: value for name, value in body.items() if value is not None}, kind)
    except (Unreadable, codec.Malformed) as error:
        reason = str(error)
    return protocol_error(response, reason, context)


def _is_visible(value: object) -> bool:
    return isinstance(value, str) and form.VISIBLE.fullmatch(value) is not None


def _check_list(name: str, values: Iterable[object], allowed: re.Pattern[str], rule: str) -> None:
    if isinstance(values, str):
        raise ConfigurationError(f'{name} must be a list, also of one: {name}=["..."]')
    if not all(isinstance(value, str) and allowed.fullmatch(value) for value in values):
        raise ConfigurationError(f"{name}: {rule}")


def _check_text(name: str, value: object, allowed: re.Pattern[str]) -> None:
    if isinstance(value, str) and not allowed.fullmatch(value):
        raise codec.Malformed(f"{name}: empty, or characters that may not stand in it")


def _absolute(name: str, value: object, base_url: str) -> object:
    """The URI that a person opens. Twilio's examples give it relative to the base URL."""
    if not isinstance(value, str):
        return value
    url: str | None = None
    if form.VISIBLE.fullmatch(value):
        try:
            url = urljoin(base_url + "/", value)
        except ValueError:
            url = None
    if url is None or not endpoints.is_secure(url):
        # The person types a password there: no other scheme, and no plain http to another machine.
        raise codec.Malformed(f"{name}: not an https URL")
    return url


def _read_expiry(body: Mapping[str, object], at: str, within: str, now: datetime) -> datetime | None:
    """The instant that a token ends; None where the answer gives none that makes sense, since the token still works."""
    date = body.get(at)
    if isinstance(date, str):
        try:
            return codec.parse_date(date)
        except codec.Malformed:
            pass
    elif date is None:
        seconds = codec.read_number(body.get(within))
        if seconds is not None and abs(seconds) <= MAX_EXPIRES_IN:
            return now + timedelta(seconds=seconds)
        if body.get(within) is None:
            return None
    _log.warning("the token's expiry cannot be read; its end is taken for unknown")
    return None
