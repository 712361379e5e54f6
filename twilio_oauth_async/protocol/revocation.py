"""Request and response of the revocation endpoint (RFC 7009)."""

from __future__ import annotations

from urllib.parse import urlsplit

from twilio_oauth_async.protocol.error_responses import read_error
from twilio_oauth_async.protocol.messages import Context, Request, Response
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.protocol.parameters import FORM_HEADERS, check_client, check_parameters, encode_form
from twilio_oauth_async.protocol.response_parsing import Parsed


def token_to_revoke(token: Token) -> str:
    """Return the refresh token, or the access token if there is none.

    With a refresh token the server revokes its access tokens, too (RFC 7009 2.1).
    """
    return token.refresh_token or token.access_token


def build_revocation(url: str, token: str, *, client_sid: str, client_secret: str | None = None) -> Request:
    """Build the ``POST`` to the revocation endpoint (RFC 7009 2.1). It is sent once and never repeated.

    Args:
        url: the endpoint, validated by `discovery.trusted_endpoint`.
        token: the access or refresh token to revoke.
        client_sid: the app to which the token was issued.
        client_secret: secret of the app, if it is confidential.

    Raises:
        ConfigurationError: `client_sid` is not valid, or a value is empty or not printable ASCII.
    """
    check_client(client_sid)
    fields = check_parameters({"token": token, "client_id": client_sid, "client_secret": client_secret})
    return Request(
        method="POST",
        path=urlsplit(url).path,
        url=url,
        headers=FORM_HEADERS,
        body=encode_form(fields.items()),
        secrets=tuple(secret for secret in (token, client_secret) if secret),
        repeatable=False,
    )


def parse_revocation(response: Response, context: Context) -> Parsed[None]:
    """Return None for success; the body is ignored (RFC 7009 2.2)."""
    return None if 200 <= response.status < 300 else read_error(response, context)
