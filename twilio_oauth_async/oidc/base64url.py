"""base64url without padding (RFC 7515 2), read strictly: for every value there is exactly one text."""

from __future__ import annotations

import base64
import binascii
import string
from typing import Final

from twilio_oauth_async.protocol.codec import Malformed

_ALPHABET: Final = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_").encode(
    "ascii"
)  # RFC 4648 5

# To the alphabet that Python reads; what is of that one only becomes something that is of none.
_TO_BASE64: Final = bytes.maketrans(b"-_+/=", b"+/!!!")

# By the length's rest of four: the padding that belongs there, and what the last character may be. One left over says
# nothing, and of two or three the last has four or two bits that are not used and must be zero (RFC 4648 3.5).
_ENDS: Final = ((b"", _ALPHABET), (b"", b""), (b"==", _ALPHABET[::16]), (b"=", _ALPHABET[::4]))


def encode(data: bytes) -> str:
    """The text of `data`, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: bytes) -> bytes:
    """The reverse of `encode`.

    Python's own reader passes over foreign characters and unused bits; with it, anybody could change a token's text
    without changing its value.

    Raises:
        Malformed: padding, white space, a character of another alphabet, or unused bits that are not zero.
    """
    padding, last = _ENDS[len(text) % 4]
    if text[-1:] in last:
        try:
            return binascii.a2b_base64(text.translate(_TO_BASE64) + padding, strict_mode=True)
        except binascii.Error:
            pass
    raise Malformed("not base64url")
