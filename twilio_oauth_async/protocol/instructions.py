"""What a person is told who is to approve at another device."""

from __future__ import annotations

from collections.abc import Sequence


def sign_in_instructions(
    *,
    app: str,
    scopes: Sequence[str],
    user_code: str,
    verification_uri: str,
    verification_uri_complete: str | None,
) -> str:
    """Plain text of several lines.

    The code stands beside the link even where the link holds it (RFC 8628 3.3.1), so that the person can compare the
    two; the app, the scopes and the warning answer remote phishing (RFC 8628 5.4, RFC 10027).
    """
    if verification_uri_complete is None:
        where = [f"To sign in, open {verification_uri}", f"and enter the code {user_code}"]
    else:
        where = [
            f"To sign in, open {verification_uri_complete}",
            f"and check that it shows the code {user_code}",
            f"(or enter the code at {verification_uri})",
        ]
    return "\n".join(
        [
            *where,
            "",
            f"This lets {app} use: {', '.join(scopes)}",
            "Do this only if you started the sign-in yourself: never enter a code that somebody sent you.",
        ]
    )
