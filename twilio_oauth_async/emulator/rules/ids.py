"""Random identifiers and secrets: SIDs, codes, opaque tokens."""

from __future__ import annotations

import random
import string

from twilio_oauth_async.emulator.rules.user_codes import ALPHABET

_ALPHANUMERIC = string.ascii_letters + string.digits


class Ids:
    """Generator of identifiers. The same `seed` gives the same identifiers; None gives unpredictable ones."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311 - the caller gave a seed

    def sid(self, prefix: str) -> str:
        """Return a SID: `prefix` (two letters) and 32 hexadecimal digits."""
        return f"{prefix}{self._random.getrandbits(128):032x}"

    def app_sid(self) -> str:
        """Return the SID of an OAuth app: ``OQ`` and 32 alphanumeric characters."""
        return f"OQ{self.text(32)}"

    def text(self, length: int) -> str:
        """Return `length` alphanumeric characters; 32 of them have 190 bits of entropy."""
        return "".join(self._random.choices(_ALPHANUMERIC, k=length))

    def user_code(self) -> str:
        """Return a user code: four letters, a dash, four letters."""
        letters = "".join(self._random.choices(ALPHABET, k=8))
        return f"{letters[:4]}-{letters[4:]}"
