"""The Lua scripts. Redis runs each one atomically.

A client may send a script again if it lost the reply. So a second run of a script must not change anything more. Its
reply may differ. After `COMPARE_AND_SET` the caller reads the flow again; the reply of `SET_ASIDE` decides only about a
log message; the replies of `RELEASE` and `DELETE_FLOW` are not used.
"""

from __future__ import annotations

LOAD = "return redis.call('HGET', KEYS[1], ARGV[1])"
"""Return the text of a field, or nil. Keys: the hash. Arguments: the field."""

SAVE = """
local generation = tonumber(ARGV[2])
local present = tonumber(redis.call('HGET', KEYS[1], 'generation') or '')
if present and generation < present then
    return {'conflict', tostring(present)}
end
if ARGV[4] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[4] then
    -- The lock was lost. Only save a rotation that its holder has just received: without it the newest refresh token
    -- is lost. Any other save could undo the work of the current holder. Of two rotations with the same generation
    -- the one with the greater fencing token is newer.
    local rotated = generation > tonumber(ARGV[6])
    local newest = not present or generation > present
        or tonumber(ARGV[5]) > (tonumber(redis.call('HGET', KEYS[1], 'fence') or '') or 0)
        or redis.call('HGET', KEYS[1], 'stored') == ARGV[1]
    if not (rotated and newest) then
        return {'fenced', redis.call('GET', KEYS[3]) or '0'}
    end
end
redis.call('HSET', KEYS[1], 'stored', ARGV[1], 'generation', ARGV[2], 'fence', ARGV[5])
if ARGV[3] == '' then
    redis.call('PERSIST', KEYS[1])
else
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return {'saved', ''}
"""
"""Save a token. Return ``saved``, ``conflict`` with the stored generation, or ``fenced`` with the newest fencing token.

Keys: the token, its lock, its fence. Arguments: the text; its generation; milliseconds to keep it, or an empty string
for no limit; the value of the caller's lock, or an empty string if it holds none; the caller's fencing token; the
greatest generation that the caller has loaded or saved under its lock.
"""

DELETE = """
if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[1] and redis.call('EXISTS', KEYS[1]) == 1 then
    return {'fenced', redis.call('GET', KEYS[3]) or '0'}
end
redis.call('DEL', KEYS[1])
return {'deleted', ''}
"""
"""Delete a token. Return ``deleted``, or ``fenced`` as `SAVE`.

Keys: as for `SAVE`. Arguments: the value of the caller's lock, or an empty string.
"""

SET_ASIDE = """
if redis.call('HGET', KEYS[1], 'stored') ~= ARGV[1] then
    return 0
end
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
"""
"""Rename a damaged token; return 1 if it was renamed.

Keys: the token, the new name. Arguments: the text that it must have; milliseconds to keep it.
"""

ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
    return tonumber(redis.call('GET', KEYS[2]) or '1')
end
if holder then
    return 0
end
local fence = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return fence
"""
"""Acquire a lock. Return its fencing token, or 0 if another process holds the lock.

Keys: the lock, its fence (the counter of fencing tokens). Arguments: the random value of the lock; milliseconds after
which the lock expires; milliseconds after which the fence expires.
"""

RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
"""
"""Renew a lock; return 1 if the caller still holds it.

Keys: the lock. Arguments: its value; milliseconds after which it expires.
"""

RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
"""
"""Release a lock; return 1 if the caller held it. Keys: the lock. Arguments: its value."""

COMPARE_AND_SET = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then
    return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
for _, key in ipairs(KEYS) do
    if redis.call('PTTL', key) < tonumber(ARGV[5]) then
        redis.call('PEXPIRE', key, ARGV[5])
    end
end
return 1
"""
"""Replace a flow. Return 1 if it was replaced, 0 if it did not have the expected text.

Keys: the flows, the sorted set of their lease ends. Arguments: the flow's id; its expected text, or an empty string;
its new text; the end of its lease in milliseconds since 1970; milliseconds for which both keys are kept at least.
"""

DELETE_FLOW = """
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
"""Delete a flow. Keys: as for `COMPARE_AND_SET`. Arguments: its id."""

LIST_DUE = """
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])) do
    found[#found + 1] = redis.call('HGET', KEYS[1], id) or ''
end
return found
"""
"""Return the texts of the flows whose lease ends at or before the given time.

Keys: as for `COMPARE_AND_SET`. Arguments: milliseconds since 1970.
"""
