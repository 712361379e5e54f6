"""Where the keys of a database come from: given, or the system's keyring."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from twilio_oauth_async.errors import ConfigurationError, StoreError
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.encryption import (
    KEY_IS_GIVEN,
    KEYRING,
    NOT_ENCRYPTED,
    PLAIN,
    Cipher,
    FernetCipher,
    FernetKey,
    fernet_of,
    given_cipher,
)
from twilio_oauth_async.stores.file.keyring import Keyring

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

Encryption: TypeAlias = FernetKey | Sequence[FernetKey] | Keyring
"""One key; several, of which the first encrypts and all decrypt (key rotation); or `Keyring()`."""


class KeySource(Protocol):
    """Finds the cipher of a database."""

    depends_on_label: bool
    """Whether the database has to be looked at first."""

    async def cipher(self, label: str | None) -> Cipher:
        """Return the cipher.

        Args:
            label: the label that is stored in the database; None: there is no database, or it is to be encrypted.

        Raises:
            StoreError: the key does not exist, or the keyring does not return it.
        """
        ...


def key_source(encryption: Encryption | None) -> KeySource:
    """Return the source of the keys that `encryption` means.

    Raises:
        ConfigurationError: `encryption` is not a key. The message does not contain it.
        ModuleNotFoundError: the extra ``encryption`` is not installed.
    """
    if isinstance(encryption, Keyring):
        encryption.check_installed()
        return _FromKeyring(encryption)
    return _Fixed(given_cipher(encryption))


class _Fixed(HoldsSecrets):
    """One cipher, which does not depend on the database."""

    depends_on_label = False

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    async def cipher(self, label: str | None) -> Cipher:  # noqa: ARG002
        return self._cipher


class _FromKeyring(HoldsSecrets):
    """Keys in the keyring of the system, each under an id of its own, which is part of the database's label.

    So two processes that both make a first key do not overwrite the key of each other.
    """

    depends_on_label = True

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    async def cipher(self, label: str | None) -> Cipher:
        if label is None:
            key_id, key = await self._keyring.make()
            return FernetCipher(KEYRING + key_id, self._read(key))
        if label == PLAIN:
            raise StoreError(NOT_ENCRYPTED)
        if not label.startswith(KEYRING):
            raise StoreError(KEY_IS_GIVEN)
        key_id = label.removeprefix(KEYRING)
        found = await self._keyring.ask(key_id)
        if found is None:
            raise StoreError(f"its key {key_id} is not in the system's keyring")
        return FernetCipher(label, self._read(found))

    def _read(self, key: str) -> MultiFernet:
        with contextlib.suppress(ConfigurationError):
            return fernet_of([key])
        raise StoreError("the entry in the system's keyring is not a key")
