"""The rules of `TokenStore.save` and `TokenStore.delete`: generations, epochs, tombstones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.errors import StoreConflict
from twilio_oauth_async.stores.base import TokenStore
from twilio_oauth_async.stores.records import StoredToken, epoch_of
from twilio_oauth_async.stores.rules import TOMBSTONE_LIFETIME, UNKNOWN_LIFETIME
from twilio_oauth_async.stores.testing.checks import texts_of
from twilio_oauth_async.stores.testing.options import StoreContract
from twilio_oauth_async.stores.testing.values import CANARY, token

FIRST, SECOND, THIRD = epoch_of("first"), epoch_of("second"), epoch_of("third")
MICROSECOND = 0.000_001
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2100, 1, 1, tzinfo=UTC)


async def refused(store: TokenStore, stored: StoredToken, replaces: str | None) -> None:
    """Check that ``save("a", ...)`` raises `StoreConflict`, shows no secret, and changes nothing."""
    before, was_deleted = await store.load("a"), await store.is_deleted("a")
    with pytest.raises(StoreConflict) as caught:
        await store.save("a", stored, replaces=replaces)
    assert caught.value.__context__ is None, "raise the error after the except block"
    assert not [text for text in texts_of(caught.value)[:2] if CANARY in text]
    assert (await store.load("a"), await store.is_deleted("a")) == (before, was_deleted)


async def accepted(store: TokenStore, stored: StoredToken, replaces: str | None) -> None:
    """Check that ``save("a", ...)`` stores the token."""
    await store.save("a", stored, replaces=replaces)
    assert await store.load("a") == stored
    assert await store.is_deleted("a") is False


class TokenRuleTests(StoreContract):
    """Which token may take the place of which."""

    @pytest.mark.parametrize("replaces", [None, FIRST, SECOND], ids=["none", "own epoch", "another epoch"])
    @pytest.mark.parametrize("generation", [0, 1, 7])
    async def test_save_without_a_stored_token_is_accepted(
        self, open_store: Callable[[], TokenStore], replaces: str | None, generation: int
    ) -> None:
        """A process still has a token that the storage has lost: any generation of any epoch is stored."""
        await accepted(open_store(), token(generation, code="first"), replaces)

    @pytest.mark.parametrize("replaces", [None, FIRST, SECOND], ids=["none", "own epoch", "another epoch"])
    async def test_save_of_an_older_generation_raises_conflict(
        self, open_store: Callable[[], TokenStore], replaces: str | None
    ) -> None:
        """A process that is late does not undo the rotation of another one."""
        store = open_store()
        await accepted(store, token(2, code="first"), None)
        await refused(open_store(), token(1, code="first"), replaces)
        await accepted(open_store(), token(3, code="first"), FIRST)
        await refused(store, token(2, code="first"), replaces)

    async def test_save_of_the_same_generation_replaces_unanswered(self, open_store: Callable[[], TokenStore]) -> None:
        """`unanswered` goes up before each request and may go back to 0."""
        store = open_store()
        for unanswered in (0, 1, 2, 0):
            await accepted(open_store(), token(5, unanswered, code="first"), FIRST)
            assert await store.load("a") == token(5, unanswered, code="first")

    @pytest.mark.parametrize("replaces", [None, FIRST, SECOND], ids=["none", "own epoch", "another epoch"])
    async def test_save_of_a_newer_generation_of_the_stored_epoch_is_accepted(
        self, open_store: Callable[[], TokenStore], replaces: str | None
    ) -> None:
        """Within an epoch only the generation counts; it may skip numbers."""
        store = open_store()
        for generation in (1, 2, 10, 10**12):
            await accepted(store, token(generation, code="first"), replaces)

    @pytest.mark.parametrize("generation", [1, 2, 3])
    @pytest.mark.parametrize("signed_in", [0, MICROSECOND, 60], ids=["same time", "a microsecond later", "later"])
    async def test_later_sign_in_that_names_the_stored_epoch_replaces_it(
        self, open_store: Callable[[], TokenStore], generation: int, signed_in: float
    ) -> None:
        """Generations of two epochs are not compared; a sign-in at the same time is not too late."""
        store = open_store()
        await accepted(store, token(2, code="first"), None)
        await accepted(open_store(), token(generation, code="second", signed_in=signed_in), FIRST)

    @pytest.mark.parametrize("replaces", [None, SECOND, THIRD], ids=["none", "own epoch", "another epoch"])
    async def test_sign_in_that_does_not_name_the_stored_epoch_raises_conflict(
        self, open_store: Callable[[], TokenStore], replaces: str | None
    ) -> None:
        """The caller has not seen the stored token, so it loads again and decides."""
        store = open_store()
        await accepted(store, token(2, code="first"), None)
        await refused(open_store(), token(9, code="second", signed_in=60), replaces)

    @pytest.mark.parametrize("signed_in", [-MICROSECOND, -60], ids=["a microsecond earlier", "earlier"])
    async def test_earlier_sign_in_raises_conflict(
        self, open_store: Callable[[], TokenStore], signed_in: float
    ) -> None:
        """The later sign-in wins, also if the earlier one names the stored epoch and has a higher generation."""
        store = open_store()
        await accepted(store, token(1, code="first"), None)
        await refused(open_store(), token(9, code="second", signed_in=signed_in), FIRST)

    async def test_refresh_of_a_replaced_sign_in_raises_conflict(self, open_store: Callable[[], TokenStore]) -> None:
        """A refresh that began before another sign-in was saved does not bring the earlier user back."""
        store = open_store()
        await accepted(store, token(1, code="first"), None)
        await accepted(store, token(1, code="second", signed_in=60), FIRST)
        await refused(open_store(), token(2, code="first"), FIRST)
        await accepted(store, token(2, code="second", signed_in=60), SECOND)

    async def test_delete_leaves_a_tombstone(self, open_store: Callable[[], TokenStore]) -> None:
        """`is_deleted` distinguishes a logout from lost data."""
        store = open_store()
        assert (await store.load("a"), await store.is_deleted("a")) == (None, False)
        await accepted(store, token(1, code="first"), None)
        await open_store().delete("a")
        for each in (store, open_store()):
            assert (await each.load("a"), await each.is_deleted("a")) == (None, True)

    @pytest.mark.parametrize("generation", [1, 2, 3])
    @pytest.mark.parametrize("replaces", [None, FIRST, SECOND], ids=["none", "own epoch", "another epoch"])
    async def test_deleted_sign_in_is_not_saved_again(
        self, open_store: Callable[[], TokenStore], generation: int, replaces: str | None
    ) -> None:
        """A refresh that is under way does not undo a logout, whatever its generation."""
        store = open_store()
        await accepted(store, token(2, code="first"), None)
        await store.delete("a")
        await refused(open_store(), token(generation, code="first"), replaces)

    async def test_refresh_after_delete_raises_conflict_whatever_its_sign_in_time(
        self, open_store: Callable[[], TokenStore]
    ) -> None:
        """A save that replaces its own epoch is a refresh, not a sign-in; a tombstone stops every refresh."""
        store = open_store()
        await accepted(store, token(1, code="first"), None)
        await store.delete("a")
        await refused(store, token(2, code="second", signed_in=3600), SECOND)

    @pytest.mark.parametrize("replaces", [None, FIRST, THIRD], ids=["none", "deleted epoch", "another epoch"])
    async def test_sign_in_after_delete_is_accepted_if_it_is_later(
        self, open_store: Callable[[], TokenStore], replaces: str | None
    ) -> None:
        """A tombstone stops sign-ins up to its time, to the microsecond."""
        store = open_store()
        await accepted(store, token(2, code="first", signed_in=60), None)
        await store.delete("a")
        for signed_in in (0, 60 - MICROSECOND, 60):
            await refused(open_store(), token(1, code="second", signed_in=signed_in), replaces)
        await accepted(open_store(), token(1, code="second", signed_in=60 + MICROSECOND), replaces)
        await accepted(store, token(2, code="second", signed_in=60 + MICROSECOND), SECOND)
        await refused(store, token(3, code="first", signed_in=60), FIRST)

    async def test_delete_without_a_stored_token_stops_sign_ins_up_to_now(
        self, open_store: Callable[[], TokenStore]
    ) -> None:
        """A logout counts also if the token was lost before."""
        store = open_store()
        await store.delete("a")
        assert await open_store().is_deleted("a") is True
        await refused(store, token(1, signed_in_at=LONG_AGO), None)
        await accepted(store, token(1, signed_in_at=FAR_AHEAD), None)

    async def test_second_delete_keeps_the_tombstone(self, open_store: Callable[[], TokenStore]) -> None:
        """The time that counts is that of the deleted sign-in, not that of the last deletion."""
        store = open_store()
        await accepted(store, token(1, code="first", signed_in_at=LONG_AGO), None)
        await store.delete("a")
        await open_store().delete("a")
        await refused(store, token(1, code="first", signed_in_at=LONG_AGO), None)
        await accepted(store, token(1, code="second", signed_in_at=LONG_AGO + timedelta(seconds=1)), None)

    async def test_delete_again_after_a_sign_in_stops_that_sign_in_too(
        self, open_store: Callable[[], TokenStore]
    ) -> None:
        """Each logout leaves the tombstone of the sign-in that it ended."""
        store = open_store()
        for number in range(3):
            await accepted(store, token(1, code=f"{number}", signed_in=number), None)
            await store.delete("a")
            await refused(store, token(2, code=f"{number}", signed_in=number), epoch_of(f"{number}"))

    @pytest.mark.parametrize(
        ("ends_after", "lifetime"),
        [
            (timedelta(days=1), TOMBSTONE_LIFETIME),
            (TOMBSTONE_LIFETIME, TOMBSTONE_LIFETIME),
            (timedelta(days=90), timedelta(days=90)),
            (None, UNKNOWN_LIFETIME),
        ],
        ids=["short refresh token", "refresh token of 30 days", "long refresh token", "unknown"],
    )
    async def test_tombstone_is_kept_as_long_as_the_refresh_token_may_live(
        self,
        open_store: Callable[[], TokenStore],
        clock: VirtualClock,
        advance: Callable[[float], Awaitable[Any]],
        ends_after: timedelta | None,
        lifetime: timedelta,
    ) -> None:
        """At least 30 days; 400 if the end of the refresh token is unknown."""
        self.need_movable_clock()
        store, now = open_store(), clock.now()
        ends_at = None if ends_after is None else now + ends_after
        stored = token(1, code="first", signed_in_at=now, refresh_token_expires_at=ends_at)
        await accepted(store, stored, None)
        await store.delete("a")
        await advance(lifetime.total_seconds() - 1)
        assert await open_store().is_deleted("a") is True
        await refused(store, stored, None)
        await advance(1)
        assert await open_store().is_deleted("a") is False
        await accepted(store, stored, None)

    async def test_second_delete_keeps_the_tombstone_for_30_days_more(
        self, open_store: Callable[[], TokenStore], advance: Callable[[float], Awaitable[Any]]
    ) -> None:
        """The 30 days count from the last deletion."""
        self.need_movable_clock()
        store = open_store()
        await store.delete("a")
        await advance(TOMBSTONE_LIFETIME.total_seconds() - 1)
        await store.delete("a")
        await advance(TOMBSTONE_LIFETIME.total_seconds() - 1)
        assert await open_store().is_deleted("a") is True
        await advance(1)
        assert await open_store().is_deleted("a") is False

    async def test_tombstone_of_a_missing_token_is_kept_for_30_days(
        self, open_store: Callable[[], TokenStore], clock: VirtualClock, advance: Callable[[float], Awaitable[Any]]
    ) -> None:
        """Its sign-in time is the time of the deletion."""
        self.need_movable_clock()
        store, now = open_store(), clock.now()
        await store.delete("a")
        await refused(store, token(1, signed_in_at=now), None)
        await advance(TOMBSTONE_LIFETIME.total_seconds() - 1)
        await refused(store, token(1, signed_in_at=now), None)
        await advance(1)
        await accepted(store, token(1, signed_in_at=now), None)
