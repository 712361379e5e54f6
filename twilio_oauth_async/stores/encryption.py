"""Encryption of the stored values with Fernet (AES-128-CBC and HMAC-SHA256), with keys that are given.

Each value is encrypted together with the key under which it is stored, so that it cannot be moved to another user. A
value that is not encrypted is refused where encryption is asked for: it may come from a process that can write to the
storage but does not have the key.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from twilio_oauth_async.errors import ConfigurationError, StoreError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.protocol.serializable import HoldsSecrets

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

FernetKey: TypeAlias = str | bytes
"""32 bytes in URL-safe base64, as ``cryptography.fernet.Fernet.generate_key()`` returns them."""

PLAIN = "plain"
"""Label of a storage whose values are not encrypted."""

GIVEN = "given key"
"""Label of a storage whose key is given."""

KEYRING = "keyring "
"""The label of a storage whose key is in the system's keyring begins with this."""

NOT_ENCRYPTED = "it is not encrypted; to keep its content and encrypt it, await the store's encrypt()"
KEY_IS_GIVEN = "its key is not in the keyring: create the store with encryption=<the key>"

_CHECK = "check"
_FERNET_START = b"gAAAA"


class OtherKeyError(StoreError):
    """The database names another key of the keyring than the cipher has."""


class Cipher(Protocol):
    """Encrypts and decrypts the values of one database."""

    label: str
    """Where the key is; stored in the database."""

    def seal(self, place: Sequence[str], text: str) -> bytes:
        """Return `text` as it is stored in the row of `place`."""
        ...

    def unseal(self, place: Sequence[str], value: bytes) -> str:
        """Return the text that was stored as `value` in the row of `place`.

        Raises:
            StoreError: no key decrypts it, or it was not stored there.
        """
        ...

    def verify(self, label: str, check: bytes) -> None:
        """Raise unless this cipher is the right one for a database.

        Args:
            label: the label that is stored in the database.
            check: the value that is stored beside the label.

        Raises:
            OtherKeyError: the database has another key of the keyring.
            StoreError: the database is encrypted in another way.
        """
        ...


def check_value(cipher: Cipher) -> bytes:
    """Return the value by which `Cipher.verify` recognises the key."""
    return cipher.seal([_CHECK], "")


class PlainCipher:
    """Stores values as they are."""

    label = PLAIN

    def seal(self, place: Sequence[str], text: str) -> bytes:  # noqa: ARG002
        """Implement `Cipher.seal`."""
        return text.encode()

    def unseal(self, place: Sequence[str], value: bytes) -> str:  # noqa: ARG002
        """Implement `Cipher.unseal`."""
        if value.startswith(_FERNET_START):
            raise StoreError("a value is encrypted, and the others are not")
        return value.decode(errors="replace")

    def verify(self, label: str, check: bytes) -> None:  # noqa: ARG002
        """Implement `Cipher.verify`."""
        if label != PLAIN:
            raise StoreError("it is encrypted: create the store with encryption=")


class FernetCipher(HoldsSecrets):
    """Encrypts values with the first of its keys."""

    def __init__(self, label: str, fernet: MultiFernet) -> None:
        """`label` says where the keys of `fernet` are."""
        self.label = label
        self._fernet = fernet
        self._verified = b""

    def seal(self, place: Sequence[str], text: str) -> bytes:
        """Implement `Cipher.seal`."""
        return self._fernet.encrypt(_prefix(place) + text.encode())

    def unseal(self, place: Sequence[str], value: bytes) -> str:
        """Implement `Cipher.unseal`."""
        from cryptography.fernet import InvalidToken

        content: bytes | None = None
        with contextlib.suppress(InvalidToken):
            content = self._fernet.decrypt(value)
        if content is None:
            raise StoreError("a value cannot be decrypted with any of the given keys")
        prefix = _prefix(place)
        if not content.startswith(prefix):
            raise StoreError("a value was stored for another key, and was moved")
        return content[len(prefix) :].decode(errors="replace")

    def verify(self, label: str, check: bytes) -> None:
        """Implement `Cipher.verify`."""
        if label == self.label:
            if check != self._verified:
                self.unseal([_CHECK], check)
                self._verified = check
            return
        if label == PLAIN:
            raise StoreError(NOT_ENCRYPTED)
        if not label.startswith(KEYRING):
            raise StoreError(KEY_IS_GIVEN)
        if not self.label.startswith(KEYRING):
            raise StoreError("its key is in a keyring: create the store with encryption=Keyring()")
        raise OtherKeyError("its key has changed")


def given_cipher(encryption: FernetKey | Sequence[FernetKey] | None) -> Cipher:
    """Return the cipher whose keys are given; None: values are stored as they are.

    Raises:
        ConfigurationError: `encryption` is not a key. The message does not contain it.
        ModuleNotFoundError: the extra ``encryption`` is not installed.
    """
    if encryption is None:
        return PlainCipher()
    keys: object = [encryption] if isinstance(encryption, str | bytes) else encryption
    if not isinstance(keys, list | tuple) or not keys:
        raise ConfigurationError("encryption must be a key, a list of at least one key, or Keyring()")
    return FernetCipher(GIVEN, fernet_of(cast("Sequence[FernetKey]", keys)))


def _prefix(place: Sequence[str]) -> bytes:
    return json.dumps(list(place), ensure_ascii=False).encode() + b"\n"


def fernet_of(keys: Sequence[FernetKey]) -> MultiFernet:
    """Return the keys as one object; raises `ConfigurationError` without the key, or that the extra is missing."""
    with from_extra("encryption", "cryptography"):
        from cryptography.fernet import Fernet, MultiFernet
    with contextlib.suppress(ValueError, TypeError):  # their messages may quote the key
        return MultiFernet([Fernet(key) for key in keys])
    raise ConfigurationError("encryption: a key is 32 bytes in URL-safe base64 (use Fernet.generate_key())")
