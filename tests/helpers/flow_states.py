"""Builders for the states of flows in `sign_in/`. All times are seconds after `START` of `token_states`."""

import attrs

from tests.helpers.token_states import MONOTONIC, at, moment
from twilio_oauth_async import DeviceAuthorization, Token
from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.sign_in.flow_life import LEASE, advance
from twilio_oauth_async.sign_in.flow_steps import FlowLife, Lease, Rest
from twilio_oauth_async.stores.base import StoredFlow

TOKEN = Token(access_token="a1", refresh_token="r1")
DOWN = StoreError("the store is down")


def authorization(**changes):
    """Return a code of 900 s that may be polled from 5 s on, every 5 s."""
    fields = {
        "client_sid": "OQ1",
        "scopes": ("openid",),
        "device_code": "d1",
        "user_code": "WXYZ",
        "verification_uri": "https://login.example/device",
        "interval": 5.0,
        "expires_at": at(900),
        "next_poll_at": at(5),
    }
    return DeviceAuthorization(**fields | changes)


def flow(state="pending", **changes):
    """Return a stored flow of the process ``me``, which has its lease."""
    fields = {"id": "f1", "user": "ada", "owner": "me", "authorization": authorization(), "leased_until": at(LEASE)}
    return StoredFlow(state=state, **fields | changes)


def lease(until):
    """Return a lease that ends at `until` seconds."""
    return Lease(MONOTONIC + until, at(until))


def life(seconds=0.0, **changes):
    """Return the state of a process that has known the flow since 0 s, and has looked and leased it at `seconds`."""
    stored = changes.pop("flow", flow())
    fields = {
        "flow": stored,
        "start": moment(0),
        "known": moment(seconds),
        "stored": stored.authorization,
        "lease": lease(seconds + LEASE),
        "looked_at": MONOTONIC + seconds,
    }
    return FlowLife(**fields | changes)


def holding(seconds=0.0, **changes):
    """Return the state of a process that has received the token at `seconds`."""
    return life(seconds, **{"token": TOKEN, "received": moment(seconds), **changes})


def with_authorization(state, **changes):
    """Return `state` with other fields of its authorization, which the store does not have yet."""
    return attrs.evolve(state, flow=attrs.evolve(state.flow, authorization=authorization(**changes)))


def rest(until):
    """Return the step that waits until `until` seconds."""
    return Rest(MONOTONIC + until)


def monotonic(seconds):
    """Return what the monotonic clock shows at `seconds`."""
    return MONOTONIC + seconds


def check(state, outcome, seconds, **changes):
    """Check that `outcome` at `seconds` changes these fields of `state` and no others."""
    after = advance(state, outcome, moment(seconds))
    assert after == attrs.evolve(state, **changes)
    return after
