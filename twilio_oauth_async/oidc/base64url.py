"""Strict base64url without padding (RFC 7515 2): each value has exactly one encoding."""

from __future__ import annotations

import base64
import binascii
import string
from typing import Final

from twilio_oauth_async.protocol.strict_json import Malformed

# RFC 4648 5
_ALPHABET: Final = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_").encode("ascii")

# Translates base64url to the alphabet of `binascii`. The characters "+", "/" and "=", which are not allowed in
# base64url, become "!", which `binascii` rejects.
_TO_BASE64: Final = bytes.maketrans(b"-_+/=", b"+/!!!")

# For each length modulo 4: the padding to add, and the allowed last characters. A remainder of 1 is never valid. With
# a remainder of 2 or 3, the last character has 4 or 2 unused bits, which must be zero (RFC 4648 3.5).
_ENDS: Final = ((b"", _ALPHABET), (b"", b""), (b"==", _ALPHABET[::16]), (b"=", _ALPHABET[::4]))


def encode(data: bytes) -> str:
    """Return `data` in base64url, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: bytes) -> bytes:
    """Return the bytes that `text` encodes.

    Python's own decoder ignores foreign characters and unused bits. With it, the text of a token could be changed
    although its decoded value stays the same.

    Raises:
        Malformed: `text` contains padding, white space, a character of another alphabet, or unused bits that are not
            zero.
    """
    padding, last = _ENDS[len(text) % 4]
    if text[-1:] in last:
        try:
            return binascii.a2b_base64(text.translate(_TO_BASE64) + padding, strict_mode=True)
        except binascii.Error:
            pass
    raise Malformed("not base64url")
