"""Request and response of ``GET /v1/userinfo``, and the check of its subject (OpenID Connect Core 5.3)."""

from __future__ import annotations

from twilio_oauth_async.errors import ConfigurationError, IdTokenError
from twilio_oauth_async.protocol.argument_checks import check_no_line_break, is_text
from twilio_oauth_async.protocol.endpoints import USER_INFO
from twilio_oauth_async.protocol.messages import Context, Request, Response
from twilio_oauth_async.protocol.models import UserInfo
from twilio_oauth_async.protocol.parameters import is_visible_ascii
from twilio_oauth_async.protocol.response_parsing import Parsed, parse


def build_user_info(access_token: str | None = None) -> Request:
    """Build ``GET /v1/userinfo`` with `access_token`; None: with the credentials of the session.

    Raises:
        ConfigurationError: `access_token` is empty or contains characters that are not allowed in a header.
    """
    if access_token is None:
        return Request(method="GET", path=USER_INFO, repeatable=True)
    check_no_line_break("access_token", access_token)
    if not is_text(access_token) or not is_visible_ascii(access_token):
        raise ConfigurationError("access_token must be printable ASCII without spaces, and not empty")
    return Request(
        method="GET",
        path=USER_INFO,
        headers={"Authorization": f"Bearer {access_token}"},  # RFC 6750 2.1; never in the URL (RFC 9700 4.3.2)
        secrets=(access_token,),
        repeatable=True,
    )


def parse_user_info(response: Response, context: Context) -> Parsed[UserInfo]:
    """Parse the response as `UserInfo`."""
    return parse(response, context, UserInfo)


def check_subject(user_info: UserInfo, subject: str) -> None:
    """Check that `user_info` is about the user of the ID token (OpenID Connect Core 5.3.2).

    Args:
        user_info: the response.
        subject: the ``sub`` claim of the ID token.

    Raises:
        IdTokenError: `user_info` is about another user, or has no user SID.
    """
    if user_info.user_sid != subject:
        raise IdTokenError("the user info belongs to another user than the ID token", claim="sub")
