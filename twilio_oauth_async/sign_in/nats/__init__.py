"""Device flows of many users on many hosts, with NATS JetStream. Needs the extra ``nats`` and NATS 2.9 or newer.

Names on the server, with the default `name`: the stream ``twilio-oauth-flows`` (a work queue: one message for each
pending sign-in, on ``twilio-oauth.flows.GROUP.ID``), the stream ``twilio-oauth-ends`` (one message for each end that is
not reported yet, on ``twilio-oauth.ends.GROUP.ID``) and the bucket ``twilio-oauth-sign-ins`` (keys ``flow.GROUP.ID``,
``user.DIGEST`` and ``sweep.GROUP``). A group is a hash of the client, the server, the scopes and the audiences. Each
group has a durable consumer ``workers-GROUP``, and ``on-end-GROUP`` once a process has given an `on_end`.

Limits: `DeviceFlowQueue` describes them. A stream, consumer or bucket that exists is used as it is, so an operator can
create them with other limits.

May import: the modules of `sign_in` that the pool uses, and what `sign_in` may import.
"""

from __future__ import annotations

from twilio_oauth_async.sign_in.nats.queue import DeviceFlowQueue

__all__ = ["DeviceFlowQueue"]
