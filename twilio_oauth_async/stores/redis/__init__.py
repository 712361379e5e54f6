"""Stores on a Redis server or cluster, for many hosts. Need the extra ``redis`` and Redis 5 or newer.

Names in Redis, with the default prefix and a user ``ann``: ``twilio-oauth:2:{ann}:tokens`` (a hash: tokens and
tombstones of all clients and servers), ``…:fences`` (a hash), ``…:lock`` or ``…:lock:client|server``, and
``…:set-aside`` (a hash: damaged tokens). ``twilio-oauth:2:{users}:index`` (a sorted set) has the users. All flows
together use ``twilio-oauth:2:{flows}:records`` (a hash), and the sorted sets ``…:pending``, ``…:ended`` and
``…:expiry``.

May import: the modules of `stores` that backends share, and what `stores` may import.
"""

from __future__ import annotations

from twilio_oauth_async.stores.redis.calls import RedisClient
from twilio_oauth_async.stores.redis.flows import RedisFlowStore
from twilio_oauth_async.stores.redis.tokens import RedisTokenStore

__all__ = ["RedisClient", "RedisFlowStore", "RedisTokenStore"]
