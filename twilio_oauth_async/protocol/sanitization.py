"""Sanitize text from the server for logs, terminals and exceptions.

Secrets of the request are masked, control characters are replaced, and the length is limited. RFC 6749 5.2 allows only
printable ASCII in an error description, but a server may send anything.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MAX_LENGTH = 300
"""Characters of a server's text that are kept."""

MASK = "***"


def clean(text: str, sent: Iterable[str], *, max_length: int = MAX_LENGTH) -> str:
    """Return `text` with secrets masked, without control characters, and cut to `max_length` characters.

    Args:
        text: text from the server.
        sent: the secrets that the request contained.
        max_length: limit in characters; a longer text is cut and gets an ellipsis.
    """
    # Secrets are masked first: after a cut or a replaced character, the rest of a secret would not be recognized.
    length = len(text)
    fitting = [secret for secret in sent if 0 < len(secret) <= length]  # no encoding is shorter than the secret itself
    if fitting:
        for spelling in _spellings(fitting, length):
            text = text.replace(spelling, MASK)
    if len(text) <= max_length and text.isprintable():
        return text
    cut = text[: max_length + 1]
    # str.isprintable is false for C0 and C1 controls, for line separators, and for invisible and direction-changing
    # characters, which make a text look different from what it is.
    printable = "".join(char if char.isprintable() else " " for char in cut)
    return printable if len(printable) <= max_length else printable[:max_length] + "…"


def _spellings(sent: Iterable[str], longest: int) -> list[str]:
    """Return the encodings in which a server may repeat a secret, the longest first, so that no part of it remains.

    Those of more than `longest` characters, which a text of that length cannot contain, are left out: to encode the
    secrets takes longer than everything else that is done with a response such as ``authorization_pending``.
    """
    spellings: set[str] = set()
    for secret in sent:
        spellings.add(secret)
        if not (secret.isalnum() and secret.isascii()):  # else both quoted forms are the secret itself
            spellings |= {quote(secret, safe=""), quote_plus(secret)}
        if (len(secret) + 2) // 3 * 4 <= longest:
            encoded = secret.encode("utf-8", "surrogatepass")
            spellings.add(base64.b64encode(encoded).decode("ascii"))
    return sorted(spellings, key=len, reverse=True)
