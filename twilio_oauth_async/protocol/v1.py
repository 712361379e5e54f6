"""Build and parse functions: one pair per v1 endpoint, and for revocation. Pure: time and base URL are arguments.

A parse function returns the model, or the error that the response describes. It does not raise the error: the caller
raises it (`OAuthSession`) or interprets it (`polling`).
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
    describes_error,
    error_from_body,
    protocol_error,
    read_error,
    read_object,
)
from twilio_oauth_async.protocol.messages import Context, Request, Response
from twilio_oauth_async.protocol.models import Certs, DeviceCode, OpenidDiscovery, Token, UserInfo

T = TypeVar("T")
Parsed: TypeAlias = T | ApiError | ProtocolError
"""Result of a parse function: the model, or the error that the response describes."""

DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
"""RFC 8628 3.4. Twilio's own value is not documented; a caller can pass another one."""

MAX_EXPIRES_IN = 10 * 365 * 86_400
"""Seconds. An ``expires_in`` of more than ten years is treated as a mistake: the expiry is unknown."""

_log = logging.getLogger(__name__)

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 3.3: scope-token


def build_openid_discovery() -> Request:
    """Build ``GET /v1/.well-known/openid-configuration``."""
    return Request(method="GET", path=endpoints.DISCOVERY, repeatable=True)


def parse_openid_discovery(response: Response, context: Context) -> Parsed[OpenidDiscovery]:
    """Parse the response as `OpenidDiscovery`. `discovery.trusted_endpoint` validates its endpoints."""
    return _parse(response, context, OpenidDiscovery)


def build_certs() -> Request:
    """Build ``GET /v1/certs``."""
    return Request(method="GET", path=endpoints.CERTS, repeatable=True)


def parse_certs(response: Response, context: Context) -> Parsed[Certs]:
    """Parse the response as `Certs`. The keys are not validated."""
    return _parse(response, context, Certs)


def build_device_code(*, client_sid: str, scopes: Sequence[str], audiences: Sequence[str] = ()) -> Request:
    """Build ``POST /v1/device/code`` (RFC 8628 3.1). Scopes and audiences are sent as repeated keys.

    Raises:
        ConfigurationError: `client_sid` is not valid, `scopes` is empty, or a scope or audience is not valid.
    """
    check_client(client_sid)
    check_scopes(scopes)
    if not scopes:
        # RFC 9700 2.3: least privilege. No default fits every application.
        raise ConfigurationError("scopes must name at least one scope, for example ['openid']")
    _check_list("audiences", audiences, form.VISIBLE, "an audience must be printable ASCII without spaces")
    return Request(
        method="POST",
        path=endpoints.DEVICE_CODE,
        headers=form.HEADERS,
        body=form.encode(
            [("ClientSid", client_sid), *(("Scopes", s) for s in scopes), *(("Audiences", a) for a in audiences)]
        ),
        repeatable=True,  # an unused device code expires without effect
    )


def parse_device_code(response: Response, context: Context) -> Parsed[DeviceCode]:
    """Parse the response as `DeviceCode`. URIs become absolute; numbers may also be sent as text."""

    def prepare(body: Mapping[str, object]) -> Mapping[str, object]:
        prepared = dict(body)
        for name in ("expires_in", "interval"):
            prepared[name] = codec.read_number(body.get(name))
            if prepared[name] is None and body.get(name) is not None:
                _log.warning("device code response: %s is not a number; ignoring it", name)
        for name in ("device_code", "user_code"):
            _check_text(name, body.get(name), form.PRINTABLE)
        for name in ("verification_uri", "verification_uri_complete"):
            prepared[name] = _absolute_uri(name, body.get(name), context.base_url)
        return prepared

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
    """Build ``POST /v1/token`` (RFC 6749 4.1.3 and 6, RFC 8628 3.4). It is sent once and never repeated.

    Raises:
        ConfigurationError: `client_sid` is not valid, or a value is empty or not printable ASCII.
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
        # A lost poll does no harm, because the client polls again. A lost refresh or code exchange cannot be repeated.
        fresh_connection=refresh_token is not None or code is not None,
    )


def parse_token(response: Response, context: Context) -> Parsed[Token]:
    """Parse the response as `Token`. The expiry is sent as a date (v1) or as ``expires_in`` (RFC 6749 5.1)."""

    def prepare(body: Mapping[str, object]) -> Mapping[str, object]:
        for name in ("access_token", "refresh_token", "id_token"):
            # RFC 6750 2.1: a token is sent in a header; a line break in it would end the header.
            _check_text(name, body.get(name), form.VISIBLE)
        token_type = body.get("token_type")
        if token_type is not None and not (isinstance(token_type, str) and token_type.lower() == "bearer"):
            raise codec.Malformed("token_type: only Bearer is supported")  # RFC 6749 7.1
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
    """Build ``GET /v1/userinfo`` with `access_token`; None: with the session's own credentials.

    Raises:
        ConfigurationError: `access_token` is empty or contains characters that are not allowed in a header.
    """
    if access_token is None:
        return Request(method="GET", path=endpoints.USER_INFO, repeatable=True)
    if not _is_visible(access_token):
        raise ConfigurationError("access_token must be printable ASCII without spaces, and not empty")
    return Request(
        method="GET",
        path=endpoints.USER_INFO,
        headers={"Authorization": f"Bearer {access_token}"},  # RFC 6750 2.1; never in the URL (RFC 9700 4.3.2)
        secrets=(access_token,),
        repeatable=True,
    )


def parse_user_info(response: Response, context: Context) -> Parsed[UserInfo]:
    """Parse the response as `UserInfo`."""
    return _parse(response, context, UserInfo)


def build_revocation(url: str, token: str, *, client_sid: str, client_secret: str | None = None) -> Request:
    """Build ``POST`` to the revocation endpoint of the discovery document (RFC 7009 2.1). It is sent once.

    Args:
        url: the endpoint, validated by `discovery.trusted_endpoint`.
        token: the access or refresh token to revoke.
        client_sid: the app to which the token was issued.
        client_secret: secret of the app, if it is confidential.

    Raises:
        ConfigurationError: `client_sid` is not valid, or a value is empty or not printable ASCII.
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
    """Return None for success; the body is ignored (RFC 7009 2.2)."""
    return None if 200 <= response.status < 300 else read_error(response, context)


def check_client(client_sid: object) -> None:
    """Check that `client_sid` can be a client id.

    Raises:
        ConfigurationError: `client_sid` is not a string, is empty, or is not printable ASCII without spaces.
    """
    if not isinstance(client_sid, str) or not form.VISIBLE.fullmatch(client_sid):
        raise ConfigurationError(
            "client_sid must be the SID of your OAuth app, for example OQ followed by 32 letters or digits"
        )


def check_scopes(scopes: Sequence[str]) -> None:
    """Check that `scopes` is a list of scope tokens (RFC 6749 3.3).

    Raises:
        ConfigurationError: `scopes` is a string, or an item is not a scope token.
    """
    _check_list("scopes", scopes, _SCOPE, "a scope must be printable ASCII without spaces, quotes or backslashes")


def _parse(
    response: Response,
    context: Context,
    kind: type[T],
    prepare: Callable[[Mapping[str, object]], Mapping[str, object]] | None = None,
    *,
    required: str | None = None,
) -> Parsed[T]:
    """Parse any response as `kind`: every 2xx is a success (v1 sends 201 where v2 sends 200), the rest are errors.

    A 2xx without the `required` member is an error, too, if its body describes one.
    """
    if not 200 <= response.status < 300:
        return read_error(response, context)
    reason: str
    try:
        body: Mapping[str, object] = read_object(response)
        if required is not None and body.get(required) is None and describes_error(body):
            return error_from_body(response, body, context)
        if prepare is not None:
            body = prepare(body)
        # RFC 6749 5.1: unknown members are ignored. In this contract null means the same as absent.
        return codec.structure({name: value for name, value in body.items() if value is not None}, kind)
    except (Unreadable, codec.Malformed) as error:
        reason = str(error)
    return protocol_error(response, reason, context)


def _is_visible(value: object) -> bool:
    return isinstance(value, str) and form.VISIBLE.fullmatch(value) is not None


def _check_list(name: str, values: Iterable[object], allowed: re.Pattern[str], rule: str) -> None:
    if isinstance(values, str):
        raise ConfigurationError(f'{name} must be a list, even for one item: {name}=["..."]')
    if not all(isinstance(value, str) and allowed.fullmatch(value) for value in values):
        raise ConfigurationError(f"{name}: {rule}")


def _check_text(name: str, value: object, allowed: re.Pattern[str]) -> None:
    if isinstance(value, str) and not allowed.fullmatch(value):
        raise codec.Malformed(f"{name}: empty, or contains characters that are not allowed")


def _absolute_uri(name: str, value: object, base_url: str) -> object:
    """Return the URI that the user opens, resolved against the base URL: in Twilio's examples it is relative."""
    if not isinstance(value, str):
        return value
    url: str | None = None
    if form.VISIBLE.fullmatch(value):
        try:
            url = urljoin(base_url + "/", value)
        except ValueError:
            url = None
    if url is None or not endpoints.is_secure(url):
        # The user types a password on this page: no other scheme is allowed, and plain http only to loopback.
        raise codec.Malformed(f"{name}: not an https URL")
    return url


def _read_expiry(body: Mapping[str, object], at: str, within: str, now: datetime) -> datetime | None:
    """Return when a token expires; None if the response has no usable value. The token can be used all the same."""
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
    _log.warning("token response: the expiry time cannot be parsed; treating it as unknown")
    return None
