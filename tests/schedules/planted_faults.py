"""Faults that an exploration must find. Each is planted with a `MonkeyPatch`, and breaks one rule of the package."""

import asyncio
import contextlib
from datetime import timedelta

import attrs

from tests.model import mutants, sign_in_mutants
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


def cancelled_whatever_the_state(patch):
    """The store ends a flow as cancelled although its token was received."""
    end = MemoryFlowStore.end

    async def end_always(store, id_, state, problem=None):
        flow = store._flows.get(id_)
        if flow is not None and state == "cancelled":
            store._flows[id_] = attrs.evolve(flow, state=state, problem=problem, ended_at=store._clock.now())
            return True
        return await end(store, id_, state, problem)

    patch.setattr(MemoryFlowStore, "end", end_always)


def token_dropped_on_close(patch):
    """A pool that closes does not wait for polls that are under way."""
    patch.setattr(running.RunningFlow, "is_under_way", False)


def delivered_before_it_is_reported(patch):
    """An end is marked as delivered, and not reported."""
    patch.setattr(reporter.reporting, "decide", sign_in_mutants.marked_before_called)


def polls_at_once(patch):
    """The client does not wait for the interval before a poll (RFC 8628 3.5)."""

    async def wait_until_due(poller, state):
        seconds = poller.seconds_to_poll(state)
        await poller._session.clock.sleep(seconds / 2)

    patch.setattr(DevicePoller, "wait_until_due", wait_until_due)


def polls_go_on_after_cancellation(patch):
    """The wait for a token is a task of its own, which is not cancelled with its caller."""

    wait = DeviceFlow.wait

    async def wait_apart(flow, authorization):
        return await asyncio.shield(asyncio.ensure_future(wait(flow, authorization)))

    patch.setattr(DeviceFlow, "wait", wait_apart)
