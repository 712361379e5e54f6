"""Everything random that the server hands out: SIDs, codes, opaque tokens."""

from __future__ import annotations

import random
import string

_ALPHANUMERIC = string.ascii_letters + string.digits
_USER_CODE_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628 6.1: no vowels (no words by accident), nothing that looks like a digit; 20^8 is about 2^34 codes."""


class Ids:
    """A source of identifiers; the same `seed` gives the same ones, None gives unpredictable ones."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - asked for by the caller

    def sid(self, prefix: str) -> str:
        """Return a SID: two letters and 32 hex digits."""
        return f"{prefix}{self._random.getrandbits(128):032x}"

    def app_sid(self) -> str:
        """Return the SID of an OAuth app: ``OQ`` and 32 alphanumerics."""
        return f"OQ{self.text(32)}"

    def text(self, length: int) -> str:
        """`length` alphanumeric characters; 32 of them hold 190 bits."""
        return "".join(self._random.choices(_ALPHANUMERIC, k=length))

    def user_code(self) -> str:
        """Nine characters for a person to type: four letters, a dash, four letters."""
        letters = "".join(self._random.choices(_USER_CODE_ALPHABET, k=8))
        return f"{letters[:4]}-{letters[4:]}"


def normalize_user_code(text: str) -> str:
    """Return what is left of a typed code when case, spaces and dashes are forgiven (RFC 8628 6.1)."""
    return "".join(character for character in text.upper() if character.isalnum())
