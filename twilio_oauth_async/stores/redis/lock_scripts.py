"""The Lua scripts of locks. Redis runs each one atomically.

A client may send a script again if it lost the reply. So each script has the same effect and the same reply when it is
repeated.
"""

from __future__ import annotations

ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
    return tonumber(redis.call('HGET', KEYS[2], ARGV[2]) or '1')
end
if holder then
    return 0
end
local time = redis.call('TIME')
local last = tonumber(redis.call('HGET', KEYS[2], ARGV[2]) or '') or 0
local fence = math.max(time[1] * 1000000 + time[2], last + 1)
redis.call('HSET', KEYS[2], ARGV[2], string.format('%.0f', fence))
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return fence
"""
"""Acquire a lock. Return its fence, or 0 if another process holds it.

The fence is the time of the server in microseconds, or more. So it increases even if the last one was lost or erased.

Keys: the lock, the fences of the user. Arguments: the value; the field of the fence; milliseconds of the lock;
milliseconds of the fences.
"""

RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
"""
"""Renew a lock; return 1 if the caller still holds it. Keys: the lock. Arguments: its value; milliseconds."""

RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
"""
"""Release a lock; return 1 if the caller held it. Keys: the lock. Arguments: its value."""
