"""What runs inside of the Redis server. Each script is one step for everybody else.

A client may send a script again where it lost the answer, so each has the same effect when it is repeated, and, but
for `SWAP`, whose caller looks again, gives the same answer.
"""

from __future__ import annotations

LOAD = "return redis.call('HGET', KEYS[1], ARGV[1])"
"""A field's text, or nothing. Keys: the hash. Arguments: the field."""

SAVE = """
local generation = tonumber(ARGV[2])
local present = tonumber(redis.call('HGET', KEYS[1], 'generation') or '')
if present and generation < present then
    return {'conflict', tostring(present)}
end
if ARGV[4] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[4] then
    -- The lock was lost. Only a rotation that its holder has just received is still worth keeping: without it the
    -- server's newest refresh token is gone. Anything else could undo what the present holder did. Of two rotations
    -- of one generation the one of the later lock is the newer.
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
"""``saved``, ``conflict`` with the generation that is there, or ``fenced`` with the fence that is the last one now.

Keys: the token, its lock, its fence. Arguments: the text; its generation; milliseconds that it lives, or nothing for
ever; the value of the saver's lock, or nothing where it saves without one; the saver's fence; the greatest generation
that the saver has seen under its lock.
"""

DELETE = """
if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[1] and redis.call('EXISTS', KEYS[1]) == 1 then
    return {'fenced', redis.call('GET', KEYS[3]) or '0'}
end
redis.call('DEL', KEYS[1])
return {'deleted', ''}
"""
"""``deleted``, or ``fenced`` as in `SAVE`. Keys: as there. Arguments: the value of the lock, or nothing."""

SET_ASIDE = """
if redis.call('HGET', KEYS[1], 'stored') ~= ARGV[1] then
    return 0
end
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
"""
"""1 where the token was moved. Keys: the token, the place for it. Arguments: the text it must have; milliseconds."""

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
"""The fence of the lock that was got, 0 where somebody has it.

Keys: the lock, its fence. Arguments: the value; milliseconds of the lock; milliseconds of the fence.
"""

RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
"""
"""1 where the lock is still the caller's. Keys: the lock. Arguments: its value; milliseconds."""

RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
"""
"""1 where the lock was the caller's. Keys: the lock. Arguments: its value."""

SWAP = """
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
"""1 where the flow is now as asked for, 0 where it was not as expected.

Keys: the flows, the order in which they fall due. Arguments: the flow's id; the text it must have, or nothing; its new
text; when its claim runs out, in milliseconds since 1970; milliseconds that it lives.
"""

DROP = """
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
"""Forgets a flow. Keys: as of `SWAP`. Arguments: its id."""

DUE = """
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])) do
    found[#found + 1] = redis.call('HGET', KEYS[1], id) or ''
end
return found
"""
"""The texts of the flows whose claim runs out until then. Keys: as of `SWAP`. Arguments: milliseconds since 1970."""
