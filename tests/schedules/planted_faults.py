"""Faults that an exploration must find. Each is planted with a `MonkeyPatch`, and breaks one rule of the package."""

import asyncio
import contextlib
from datetime import timedelta

import attrs
import pytest

from tests.model import mutants, sign_in_mutants
from tests.schedules import device_flows, managers, pools
from tests.schedules.explorer import explore
from twilio_oauth_async.grants.device_flow import DeviceFlow
from twilio_oauth_async.grants.device_poller import DevicePoller
from twilio_oauth_async.sign_in import flow_life, reporter, running, upkeep
from twilio_oauth_async.sign_in.flow_steps import Act
from twilio_oauth_async.stores import rules
from twilio_oauth_async.stores.memory import MemoryFlowStore, MemoryTokenStore
from twilio_oauth_async.tokens import worker
from twilio_oauth_async.tokens.rounds import Rounds


def no_store_lock(patch):
    """Managers refresh without the lock of the store."""
    patch.setattr(MemoryTokenStore, "lock", lambda self, key: contextlib.nullcontext())


def used_before_it_is_saved(patch):
    """A manager gives a new token to callers before it is saved."""
    patch.setattr(worker, "advance", mutants.used_before_saved)


def refresh_ends_with_its_caller(patch):
    """A caller that is cancelled cancels the refresh for which others wait."""

    async def change(rounds, need=0.0):
        await rounds._round

    patch.setattr(Rounds, "change", change)


def no_tombstone(patch):
    """A logout leaves nothing by which a manager that is late would know of it."""

    async def delete(store, key):
        store._records.pop(key, None)

    patch.setattr(MemoryTokenStore, "delete", delete)


def no_revocation(patch):
    """A logout only deletes the token."""

    async def revoke(flow, token):
        pass

    patch.setattr(DeviceFlow, "revoke", revoke)


def no_leases(patch):
    """The store gives a lease to each process that asks for it, also while another one has it."""

    def with_lease(flow, owner, now, seconds):
        return flow and attrs.evolve(flow, owner=owner, leased_until=now + timedelta(seconds=seconds))

    patch.setattr(rules, "with_lease", with_lease)


def no_pause_after_taking_up(patch):
    """A flow that is taken up is polled when its last owner would have."""
    patch.setattr(upkeep, "taken_up", lambda *arguments: sign_in_mutants.without_pause(*arguments[:4]))


def two_flows_of_one_user(patch):
    """The store does not look whether the user has a pending flow when it creates one."""
    patch.setattr(MemoryFlowStore, "_of_key", lambda store, key: None)


def saved_before_it_is_recorded(patch):
    """A process saves the token before it records that it has received it, so that a cancel comes between."""

    def decide(life, now):
        step = flow_life.decide(life, now)
        return Act.SAVE_TOKEN if step is Act.GRANT and not life.is_saved else step

    patch.setattr(running, "decide", decide)


def end_in_two_steps(patch):
    """The store reads the state of a flow, and ends it a turn of the loop later, although it has changed."""

    async def end(store, id_, state, problem=None):
        ended = rules.ended(store._flows.get(id_), state, problem, store._clock.now())
        await asyncio.sleep(0)
        return store._replace(id_, ended)

    patch.setattr(MemoryFlowStore, "end", end)


def token_dropped_on_close(patch):
    """A pool that closes does not wait for polls that are under way."""
    patch.setattr(running.RunningFlow, "is_under_way", False)


def delivered_before_it_is_reported(patch):
    """An end is marked as delivered, and not reported."""
    patch.setattr(reporter.reporting, "decide", sign_in_mutants.marked_before_called)


def polls_at_once(patch):
    """The client does not wait for the interval before a poll (RFC 8628 3.5)."""

    seconds_to_poll = DevicePoller.seconds_to_poll
    patch.setattr(DevicePoller, "seconds_to_poll", lambda poller, state: seconds_to_poll(poller, state) - 1)


def polls_go_on_after_cancellation(patch):
    """The wait for a token is a task of its own, which is not cancelled with its caller."""

    wait = DeviceFlow.wait

    async def wait_apart(flow, authorization):
        return await asyncio.shield(asyncio.ensure_future(wait(flow, authorization)))

    patch.setattr(DeviceFlow, "wait", wait_apart)


PLANTED = {
    no_store_lock: (managers.expiry, "a refresh token is used twice"),
    used_before_it_is_saved: (managers.expiry, "a token is used that is not stored"),
    refresh_ends_with_its_caller: (managers.expiry, "CancelledError"),
    no_tombstone: (managers.logout, "invalid_grant"),
    no_revocation: (managers.logout, "a token is valid after a logout"),
    two_flows_of_one_user: (pools.submit, "a user has two sign-ins"),
    no_leases: (pools.submit, "an early poll"),
    no_pause_after_taking_up: (pools.close, "an early poll"),
    token_dropped_on_close: (pools.close, "invalid_grant"),
    delivered_before_it_is_reported: (pools.close, "nothing is reported"),
    saved_before_it_is_recorded: (pools.cancel, "not stored for a moment"),
    end_in_two_steps: (pools.cancel, "not stored for a moment"),
    polls_at_once: (device_flows.two_flows, "an early poll"),
    polls_go_on_after_cancellation: (device_flows.two_flows, "a poll after the end"),
}
"""The scenario that finds each fault, and what it says."""

DEVIATIONS = 2
"""Each fault is found with so many deviations, or fewer."""


def find(fault):
    """Plant `fault`, and explore until it is found."""
    scenario, _ = PLANTED[fault]
    with pytest.MonkeyPatch.context() as patch:
        fault(patch)
        return explore(scenario, DEVIATIONS)
