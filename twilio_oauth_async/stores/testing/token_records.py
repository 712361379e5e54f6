"""What a `TokenStore` keeps apart and returns unchanged: values, keys, users."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta, timezone
from typing import Any

import pytest

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.stores.base import TokenStore
from twilio_oauth_async.stores.records import Key, StoredToken, TokenKey, epoch_of
from twilio_oauth_async.stores.testing.options import StoreContract
from twilio_oauth_async.stores.testing.values import CANARY, INVALID_KEYS, KEYS, SIGNED_IN_AT, token

APPS: tuple[Key, ...] = (
    "a",
    TokenKey("a", "OQ1", "https://one.example"),
    TokenKey("a", "OQ1", "https://two.example"),
    TokenKey("a", "OQ2", "https://one.example"),
    TokenKey("a", "OQ1"),
    TokenKey("a", "", "OQ1"),
    TokenKey("a", "OQ1\0https://one.example"),
    TokenKey("a\0OQ1", "https://one.example"),
    TokenKey("a:OQ1", "https://one.example"),
    TokenKey("a", "OQ1:https", "//one.example"),
    TokenKey("a", "OQ1/https:", "/one.example"),
    TokenKey("b", "OQ1", "https://one.example"),
)
"""Different keys, whose parts are the same if they are joined by a separator."""

VALUES = {
    "full": token(),
    "unanswered": token(unanswered=2),
    "sparse": StoredToken(
        token=Token(access_token=CANARY), epoch="e", signed_in_at=SIGNED_IN_AT, obtained_at=SIGNED_IN_AT
    ),
    "long": token(10**12, access_token="x" * 65_536),
    "time zone": token(signed_in_at=SIGNED_IN_AT.astimezone(timezone(timedelta(hours=5, minutes=30)))),
    "special characters": token(scope="ä \N{GRINNING FACE} \\ \" ' \x7f"),
}


async def users_of(store: TokenStore) -> list[str]:
    """Return all users of `store`, sorted."""
    return sorted([user async for user in store.users()])


class TokenRecordTests(StoreContract):
    """Values, keys and users."""

    async def test_calls_for_a_missing_key_find_nothing(self, open_store: Callable[[], TokenStore]) -> None:
        """An empty storage is not an error."""
        store = open_store()
        assert await store.load("a") is None
        assert await store.is_deleted("a") is False
        assert await users_of(store) == []
        await store.erase("a")
        assert await store.is_deleted("a") is False

    @pytest.mark.parametrize("name", VALUES)
    async def test_saved_token_is_loaded_unchanged_also_by_another_object(
        self, open_store: Callable[[], TokenStore], name: str
    ) -> None:
        """Every field, with its time zone offset and microseconds."""
        store = open_store()
        await store.save("a", VALUES[name], replaces=None)
        for each in (store, open_store()):
            assert await each.load("a") == VALUES[name]

    async def test_keys_that_look_alike_are_different_keys(self, open_store: Callable[[], TokenStore]) -> None:
        """Unicode, control characters, paths, patterns, 5,000 characters."""
        store = open_store()
        for number, key in enumerate(KEYS):
            async with store.lock(key):
                await store.save(key, token(number), replaces=None)
        other = open_store()
        assert [await other.load(key) for key in KEYS] == [token(number) for number in range(len(KEYS))]
        assert await users_of(other) == sorted(KEYS)
        await other.delete(KEYS[0])
        assert [await store.is_deleted(key) for key in KEYS[:3]] == [True, False, False]
        assert [await store.load(key) for key in KEYS[:2]] == [None, token(1)]

    async def test_users_clients_and_servers_have_separate_records(self, open_store: Callable[[], TokenStore]) -> None:
        """Two apps on one store and one user never meet."""
        store = open_store()
        for number, key in enumerate(APPS):
            assert await store.load(key) is None
            await store.save(key, token(number), replaces=None)
        for number, key in enumerate(APPS):
            assert await open_store().load(key) == token(number)
            await store.delete(key)
            assert await store.load(key) is None
            assert [await store.is_deleted(each) for each in APPS] == [True] * (number + 1) + [False] * (
                len(APPS) - number - 1
            )

    async def test_string_is_the_key_of_a_user_without_client_and_server(
        self, open_store: Callable[[], TokenStore]
    ) -> None:
        """``"a"`` and ``TokenKey("a")`` are the same key."""
        store = open_store()
        await store.save("a", token(1), replaces=None)
        assert await store.load(TokenKey("a")) == token(1)
        await store.delete(TokenKey("a"))
        assert await store.is_deleted("a") is True

    @pytest.mark.parametrize("key", INVALID_KEYS, ids=repr)
    @pytest.mark.parametrize("as_token_key", [False, True], ids=["string", "TokenKey"])
    async def test_invalid_key_raises_configuration_error(
        self, open_store: Callable[[], TokenStore], key: Any, as_token_key: bool
    ) -> None:
        """In every method, also if nothing is stored."""
        store, at = open_store(), TokenKey(key) if as_token_key else key
        for call in (store.load(at), store.is_deleted(at), store.save(at, token(), replaces=None), store.delete(at)):
            with pytest.raises(ConfigurationError):
                await call
        with pytest.raises(ConfigurationError):
            await store.erase(key)
        with pytest.raises(ConfigurationError):
            async with store.lock(at):
                pass

    @pytest.mark.parametrize("at", [TokenKey("a", "\ud800"), TokenKey("a", "", "\ud800")], ids=["client", "server"])
    async def test_invalid_client_or_server_raises_configuration_error(
        self, open_store: Callable[[], TokenStore], at: TokenKey
    ) -> None:
        """They are parts of the key."""
        store = open_store()
        for call in (store.load(at), store.is_deleted(at), store.save(at, token(), replaces=None), store.delete(at)):
            with pytest.raises(ConfigurationError):
                await call

    async def test_users_are_listed_once_and_only_with_a_token(self, open_store: Callable[[], TokenStore]) -> None:
        """Users whose tokens were all deleted are not listed."""
        store = open_store()
        for key in ("a", TokenKey("a", "OQ1"), TokenKey("b", "OQ1"), TokenKey("b", "OQ2"), "c"):
            await store.save(key, token(1, code="first"), replaces=None)
        await store.delete("c")
        await store.delete(TokenKey("b", "OQ2"))
        await store.delete("d")
        assert await users_of(open_store()) == ["a", "b"]
        await store.save("c", token(1, code="second", signed_in=60), replaces=None)
        assert await users_of(store) == ["a", "b", "c"]

    async def test_users_lists_many_users_while_they_are_erased(self, open_store: Callable[[], TokenStore]) -> None:
        """More than one page of a storage; a change during the iteration hides no other user."""
        store, names = open_store(), [f"user {number}" for number in range(100)]
        await asyncio.gather(*(store.save(name, token(), replaces=None) for name in names))
        listed: list[str] = []
        async for user in store.users():
            listed.append(user)
            await store.erase(user)
        assert sorted(listed) == sorted(names)
        assert await users_of(store) == []

    async def test_erase_removes_every_record_of_the_user_and_leaves_no_tombstone(
        self, open_store: Callable[[], TokenStore]
    ) -> None:
        """All clients and servers, tombstones too; an earlier sign-in can then be saved again."""
        store = open_store()
        keys: list[Key] = ["a", TokenKey("a", "OQ1"), TokenKey("a", "OQ1", "https://one.example"), TokenKey("a", "OQ2")]
        for key in keys:
            await store.save(key, token(2, code="first"), replaces=None)
        await store.delete(keys[0])
        await store.delete(keys[1])
        await open_store().erase("a")
        for key in keys:
            assert (await store.load(key), await store.is_deleted(key)) == (None, False)
            await store.save(key, token(1, code="first"), replaces=epoch_of("first"))
            assert await store.load(key) == token(1, code="first")

    async def test_erase_keeps_other_users(self, open_store: Callable[[], TokenStore]) -> None:
        """Names that begin in the same way, or look like a pattern, belong to other users."""
        store = open_store()
        keys: list[Key] = [*KEYS, *(TokenKey(key, "OQ1", "https://one.example") for key in KEYS)]
        await asyncio.gather(*(store.save(key, token(), replaces=None) for key in keys))
        gone = ["*", "a", "a%", "a_", "a*", "\0"]
        for user in gone:
            await store.erase(user)
        assert await users_of(open_store()) == sorted(set(KEYS) - set(gone))
        left = [key for key in keys if await store.load(key) is not None]
        assert left == [key for key in keys if (key.user if isinstance(key, TokenKey) else key) not in gone]
