"""Token endpoint of version 2, which Twilio offers publicly today; parameter names of RFC 6749.

Its responses are parsed by `v1.parse_token`, as those of version 1.
"""

from __future__ import annotations

from urllib.parse import urlencode

from twilio_oauth_async.protocol import endpoints, form
from twilio_oauth_async.protocol.messages import Request


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
    fields = form.given(
        {
            "grant_type": grant_type,
            "client_id": client_id,
            **secrets,
            "redirect_uri": redirect_uri,
            "audience": audience,
            "scope": scope,
        }
    )
    query = form.given({"account_sid": account_sid})
    return Request(
        method="POST",
        path=endpoints.TOKEN_V2,
        query=urlencode(query),
        headers=form.HEADERS,
        body=form.encode(fields.items()),
        secrets=tuple(value for value in secrets.values() if value),
        # RFC 6749 2.3: only one authentication method per request; here it is client_id and client_secret.
        with_account=False,
        repeatable=False,
        fresh_connection=refresh_token is not None or code is not None,
    )
