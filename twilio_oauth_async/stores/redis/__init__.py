"""Stores on a Redis server or cluster, for many hosts. Need the extra ``redis``.

Names in Redis, with the default prefix and a key ``ann``: ``twilio-oauth:1:{ann}:token`` (a hash), ``…:lock``,
``…:fence`` and, for a damaged token, ``…:set-aside``. All flows together use ``twilio-oauth:1:{flows}:pending`` (a
hash) and ``…:due`` (a sorted set).

May import: the modules of `stores` that backends share, and what `stores` may import.
"""

from __future__ import annotations

from twilio_oauth_async.stores.redis.calls import RedisClient
from twilio_oauth_async.stores.redis.flows import RedisFlowStore
from twilio_oauth_async.stores.redis.tokens import RedisTokenStore

__all__ = ["RedisClient", "RedisFlowStore", "RedisTokenStore"]
