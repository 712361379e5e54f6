"""Text from the server made safe for a log, a terminal and an exception (RFC 6749 5.2 leaves its content open)."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MAX_LENGTH = 300
"""Characters of a server's text that are kept."""

MASK = "***"


def clean(text: str, sent: Iterable[str], *, max_length: int = MAX_LENGTH) -> str:
    """`text` without what was `sent` in secret, without control characters, no longer than `max_length`.

    Masking comes first: cut or altered text would hide a part of a secret from the comparison.
    """
    for form in _forms(sent):
        text = text.replace(form, MASK)
    cut = text[: max_length + 1]
    # str.isprintable is false for C0 and C1 controls, for line separators and for the invisible and
    # direction-changing characters that make a text read differently from what it is.
    printable = "".join(char if char.isprintable() else " " for char in cut)
    return printable if len(printable) <= max_length else printable[:max_length] + "…"


def _forms(sent: Iterable[str]) -> list[str]:
    """The spellings in which a server may repeat a secret, the longest first so that none survives in part."""
    forms: set[str] = set()
    for secret in sent:
        encoded = secret.encode("utf-8", "surrogatepass")
        forms |= {secret, quote(secret, safe=""), quote_plus(secret), base64.b64encode(encoded).decode("ascii")}
    return sorted(forms - {""}, key=len, reverse=True)
