"""Stores in buckets of NATS JetStream, for many hosts. Need the extra ``nats`` and NATS 2.9 or newer.

With the default names: the bucket ``twilio-oauth`` has the tokens (keys ``token.USER.CLIENT``, both hashes), and
``twilio-oauth-locks`` the locks that are held; ``twilio-oauth-flows`` has the pending sign-ins of pools (keys
``flow.ID`` and ``user.DIGEST``). A bucket is created when it is first used. One that exists is used as it is, so an
operator can create it with other limits.

May import: the modules of `stores` that backends share, and what `stores` may import.
"""

from __future__ import annotations

from twilio_oauth_async.stores.nats.flows import NatsFlowStore
from twilio_oauth_async.stores.nats.tokens import NatsTokenStore

__all__ = ["NatsFlowStore", "NatsTokenStore"]
