"""What stands in a store's file: JSON with a format number, in plain text or sealed. Pure.

::

    {"format":1,"kind":"tokens","entries":{<key>:{…},…}}
    {"format":1,"kind":"tokens","key":<id in the keyring, where the key is there>,"sealed":<Fernet token>}

Sealed is the JSON text of ``{"kind":…,"entries":{…}}``: the kind is inside once more, so that no file can be passed
off as one of the other kind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias, cast

import attrs

from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.protocol import codec
from twilio_oauth_async.protocol.serializable import HoldsSecrets

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

FORMAT = 1

Entries: TypeAlias = dict[str, object]


class Unreadable(Exception):  # noqa: N818 - says what the file is
    """There is nothing to be had from the file: it is to be set aside. The message says why, in words of ours."""


@attrs.frozen
class Sealed(HoldsSecrets):
    """Entries that need a key."""

    key_id: str | None
    token: bytes = attrs.field(repr=False)


def read(data: bytes, kind: str) -> Entries | Sealed:
    """What stands in `data`.

    Raises:
        Unreadable: it is empty, damaged, or of a later format.
        StoreError: it is a good file of another kind.
    """
    if not data:
        raise Unreadable("empty")
    content = _object(data, "damaged")
    version = content.get("format")
    if isinstance(version, int) and not isinstance(version, bool) and version > FORMAT:
        raise Unreadable(f"in format {version}, which a later version of this package writes")
    if version != FORMAT or isinstance(version, bool):
        raise Unreadable("damaged: no format number")
    _check_kind(content.get("kind"), kind)
    sealed, key_id = content.get("sealed"), content.get("key")
    if isinstance(sealed, str) and (key_id is None or isinstance(key_id, str)):
        return Sealed(key_id, sealed.encode())
    return _entries(content)


def unseal(sealed: Sealed, opener: MultiFernet, kind: str) -> Entries:
    """The entries inside.

    Raises:
        StoreError: the key is a wrong one, or somebody changed the file: Fernet cannot tell which. It is not for us to
            set aside what the right key may still open.
    """
    from cryptography.fernet import InvalidToken

    data: bytes | None = None
    with contextlib.suppress(InvalidToken):
        data = opener.decrypt(sealed.token)
    if data is None:
        raise StoreError("none of the keys opens it")
    content = _object(data, "damaged before it was encrypted")
    _check_kind(content.get("kind"), kind)
    return _entries(content)


def write(entries: Mapping[str, object], kind: str) -> bytes:
    """The file in plain text."""
    return _line({"format": FORMAT, "kind": kind, "entries": entries})


def seal(entries: Mapping[str, object], kind: str, key_id: str | None, sealer: MultiFernet) -> bytes:
    """The file with the entries encrypted."""
    token = sealer.encrypt(_line({"kind": kind, "entries": entries})).decode()
    named = {} if key_id is None else {"key": key_id}
    return _line({"format": FORMAT, "kind": kind, **named, "sealed": token})


def _object(data: bytes, otherwise: str) -> dict[str, object]:
    content: object = None
    with contextlib.suppress(codec.Malformed):
        content = codec.decode_json(data)
    if not isinstance(content, dict):
        raise Unreadable(otherwise)
    return cast("dict[str, object]", content)


def _check_kind(found: object, kind: str) -> None:
    if found == kind:
        return
    if isinstance(found, str):
        # A good file, given by mistake to a store of another kind: not ours to move.
        raise StoreError(f"it is a file of something else than {kind}")
    raise Unreadable("damaged: no kind")


def _entries(content: Mapping[str, object]) -> Entries:
    entries = content.get("entries")
    if not isinstance(entries, dict):
        raise Unreadable("damaged: no entries")
    return cast("Entries", entries)


def _line(content: object) -> bytes:
    return codec.encode_json(content).encode() + b"\n"
