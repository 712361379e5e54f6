"""Requests and responses of the token endpoints: ``POST /v1/token`` and ``POST /v2/token``.

The parameters of v1 have the names of the contract. Those of v2, which Twilio offers publicly today, have the names of
RFC 6749. The responses of both are parsed in the same way.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from urllib.parse import urlencode

from twilio_oauth_async.protocol.endpoints import TOKEN, TOKEN_V2
from twilio_oauth_async.protocol.error_responses import read_pending
from twilio_oauth_async.protocol.messages import Context, Request, Response
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.protocol.parameters import (
    FORM_HEADERS,
    check_account,
    check_client,
    check_parameters,
    encode_form,
)
from twilio_oauth_async.protocol.response_parsing import Parsed, parse
from twilio_oauth_async.protocol.token_response import read_members, read_token_object

DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
"""RFC 8628 3.4. Twilio's own value is not documented; a caller can pass another one."""


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
    try:
        start = _encode_start(grant_type, client_sid)
    except TypeError:  # one of them cannot be a key of the cache, so it is no string
        start = _encode_start.__wrapped__(grant_type, client_sid)
    secrets: dict[str, str | None] = {
        "ClientSecret": client_secret,
        "Code": code,
        "CodeVerifier": code_verifier,
        "DeviceCode": device_code,
        "RefreshToken": refresh_token,
    }
    fields = check_parameters({**secrets, "DeviceId": device_id})
    return Request(
        method="POST",
        path=TOKEN,
        headers=FORM_HEADERS,
        body=start + b"&" + encode_form(fields.items()) if fields else start,
        secrets=tuple([value for value in secrets.values() if value]),
        repeatable=False,
        # If the server closed an idle connection, a poll is sent again. A refresh or code exchange cannot be repeated.
        fresh_connection=refresh_token is not None or code is not None,
        is_poll=device_code is not None,
    )


@functools.lru_cache(maxsize=32)
def _encode_start(grant_type: str, client_sid: str) -> bytes:
    """Check and encode the two parameters that are the same in nearly all requests of a program, and not secret."""
    check_client(client_sid)
    return encode_form(check_parameters({"GrantType": grant_type, "ClientSid": client_sid}).items())


def build_token_v2(
    *,
    grant_type: str,
    client_id: str,
    client_secret: str | None = None,
    code: str | None = None,
    code_verifier: str | None = None,
    redirect_uri: str | None = None,
    audience: str | None = None,
    refresh_token: str | None = None,
    scope: str | None = None,
    account_sid: str | None = None,
) -> Request:
    """Build ``POST /v2/token`` (RFC 6749 4.1.3, 4.4.2 and 6). It is sent once and never repeated.

    `account_sid` is sent in the query, for a token of an organization's account. Every other argument is the form
    parameter of the same name.

    Raises:
        ConfigurationError: a value is empty or not printable ASCII.
    """
    secrets = {
        "client_secret": client_secret,
        "code": code,
        "code_verifier": code_verifier,
        "refresh_token": refresh_token,
    }
    fields = check_parameters(
        {
            "grant_type": grant_type,
            "client_id": client_id,
            **secrets,
            "redirect_uri": redirect_uri,
            "audience": audience,
            "scope": scope,
        }
    )
    check_account(account_sid)
    query = check_parameters({"account_sid": account_sid})
    return Request(
        method="POST",
        path=TOKEN_V2,
        query=urlencode(query),
        headers=FORM_HEADERS,
        body=encode_form(fields.items()),
        secrets=tuple(value for value in secrets.values() if value),
        # RFC 6749 2.3: only one authentication method per request; here it is client_id and client_secret.
        with_account=False,
        repeatable=False,
        fresh_connection=refresh_token is not None or code is not None,
    )


def parse_token(response: Response, context: Context) -> Parsed[Token]:
    """Parse the response as `Token`, with dates in local time.

    The expiry is sent as a date (v1), which is in the server's time, or as ``expires_in`` (RFC 6749 5.1), which is
    counted from the receipt of the response. A 2xx response is read leniently: `token_response` says how, and why.
    """

    def prepare(body: Mapping[str, object]) -> Mapping[str, object]:
        return read_members(body, context.now, context.clock_skew)

    return parse(response, context, Token, prepare, required="access_token", read=read_token_object)


def parse_poll(response: Response, context: Context) -> Parsed[Token]:
    """Parse the response to a poll as `parse_token` does, but give the error of a pending response no texts."""
    return read_pending(response) or parse_token(response, context)
