"""The Lua scripts of tokens. Redis runs each one atomically.

One hash has all records of one user. The names of the fields of a record begin with its client and server. A token has
the fields of `FIELDS`; a tombstone has only ``signed_in_at`` and ``kept_until``. Times of sign-ins come from the
processes and are compared as text of a fixed length; times of expiry are milliseconds of the server's clock.

A client may send a script again if it lost the reply. So each script has the same effect when it is repeated.

If the memory of the server is full, Redis refuses the first write of a script, and after it none. So a new sign-in is
refused as a whole; a rotation and a deletion, which begin with a removal, are accepted.
"""

from __future__ import annotations

_COMMON = """
local FIELDS = {'stored', 'epoch', 'generation', 'signed_in_at', 'fence', 'ends_at', 'kept_until'}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function drop(app)
    for _, field in ipairs(FIELDS) do
        redis.call('HDEL', KEYS[1], app .. field)
    end
end

local function write(app, record, present)
    if present then
        drop(app)  -- a first write, after which Redis accepts the others also if its memory is full
    end
    for _, field in ipairs(FIELDS) do
        local value = record[field]
        if value then
            redis.call('HSET', KEYS[1], app .. field, type(value) == 'number' and string.format('%.0f', value) or value)
        else
            redis.call('HDEL', KEYS[1], app .. field)
        end
    end
end

-- Remove the records that have expired. Return when the last of the others expires.
local function sweep()
    local last = 0
    for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
        if string.sub(name, -10) == 'kept_until' then
            local kept_until = tonumber(redis.call('HGET', KEYS[1], name)) or 0
            if kept_until <= now then
                drop(string.sub(name, 1, -11))
            else
                last = math.max(last, kept_until)
            end
        end
    end
    return last
end

local function read(app)
    local record = {}
    for _, field in ipairs(FIELDS) do
        record[field] = redis.call('HGET', KEYS[1], app .. field) or nil
    end
    record.generation = tonumber(record.generation or '')
    record.ends_at = tonumber(record.ends_at or '')
    if record.signed_in_at and (not record.stored or (record.epoch and record.generation)) then
        return record
    end
    return nil  -- there is none, or it is damaged
end

local function set_expiry()
    local last = sweep()
    if last > 0 then
        redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', last))
    end
    return string.format('%.0f', last)
end
"""

LOAD = "return redis.call('HGET', KEYS[1], ARGV[1])"
"""Return the text of a field, or nil. Keys: the hash. Arguments: the field."""

IS_DELETED = """
local record = redis.call('HMGET', KEYS[1], ARGV[1] .. 'stored', ARGV[1] .. 'signed_in_at', ARGV[1] .. 'kept_until')
local time = redis.call('TIME')
if record[1] or not record[2] or (tonumber(record[3] or '') or 0) <= time[1] * 1000 then
    return 0
end
return 1
"""
"""Return 1 if the record is a tombstone that has not expired. Keys: the records. Arguments: client and server."""

HAS_ANY = """
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(name, -6) == 'stored' then
        return 1
    end
end
return 0
"""
"""Return 1 if the user has a token of any client and server. Keys: the records."""

SAVE = (
    _COMMON
    + """
local app, text, epoch, generation = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local signed_in_at, replaces = ARGV[5], ARGV[6]
sweep()
local present = read(app)
local same = present and present.stored and present.epoch == epoch
if present and not present.stored then
    if replaces == '=' .. epoch or signed_in_at <= present.signed_in_at then
        return {'deleted', ''}
    end
elseif same then
    if generation < present.generation then
        return {'older', string.format('%.0f', present.generation)}
    end
elseif present then
    if replaces ~= '=' .. present.epoch or signed_in_at < present.signed_in_at then
        return {'other', ''}
    end
end
if ARGV[8] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[8] then
    -- The lock was lost. Only save a rotation or a sign-in that its holder has just received: without it the newest
    -- refresh token is lost. Any other save could undo the work of the current holder. Of two rotations with the same
    -- generation the one with the greater fence is newer.
    local received = generation > tonumber(ARGV[10])
    local newest = not same or generation > present.generation
        or tonumber(ARGV[9]) > (tonumber(present.fence or '') or 0)
        or present.stored == text
    if not (received and newest) then
        return {'fenced', redis.call('HGET', KEYS[3], app) or '0'}
    end
end
write(app, {
    stored = text, epoch = epoch, generation = ARGV[4], signed_in_at = signed_in_at, fence = ARGV[9],
    ends_at = ARGV[7] ~= '' and now + tonumber(ARGV[7]) or '',
    kept_until = now + tonumber(ARGV[11]),
}, present)
set_expiry()
return {present and 'saved' or 'created', ''}
"""
)
"""Save a token, as `rules.check_token` allows it.

Return ``saved``, ``created`` if there was no record, ``older`` with the stored generation, ``other`` (sign-in),
``deleted``, or ``fenced`` with the last fence.

Keys: the records of the user, the lock, the fences of the user. Arguments: 1 client and server (also the field of the
fence); 2 the text; 3 its epoch; 4 its generation; 5 its time of sign-in; 6 "=" and the epoch that it replaces, or an
empty string; 7 milliseconds until the refresh token expires, or an empty string; 8 the value of the caller's lock, or
an empty string if it holds none; 9 the caller's fence; 10 the greatest generation of this epoch that the caller has
loaded or saved under its lock; 11 milliseconds to keep the token.
"""

DELETE = (
    _COMMON
    + """
sweep()
local present = read(ARGV[1])
if not present or present.stored then
    if ARGV[2] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[2] then
        return {'fenced', redis.call('HGET', KEYS[3], ARGV[1]) or '0'}
    end
    local kept_until = now + tonumber(ARGV[4])
    if present then
        kept_until = present.ends_at and math.max(kept_until, present.ends_at) or now + tonumber(ARGV[5])
    end
    local signed_in_at = present and present.signed_in_at or ARGV[3]
    write(ARGV[1], {signed_in_at = signed_in_at, kept_until = kept_until}, present)
else
    present.kept_until = math.max(tonumber(present.kept_until) or 0, now + tonumber(ARGV[4]))
    write(ARGV[1], present, present)
end
return {'deleted', set_expiry()}
"""
)
"""Replace a token by the tombstone of `rules.tombstone`. Return ``deleted`` with the time at which the last record of
the user expires, or ``fenced`` as `SAVE`.

Keys: as for `SAVE`. Arguments: 1 client and server; 2 the value of the caller's lock, or an empty string; 3 the time of
sign-in if there is no record; 4 milliseconds to keep the tombstone; 5 the same if the end of the refresh token is
unknown.
"""

SET_ASIDE = (
    _COMMON
    + """
if redis.call('HGET', KEYS[1], ARGV[1] .. 'stored') ~= ARGV[2] then
    return 0
end
redis.call('HSET', KEYS[2], ARGV[1] .. 'stored', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
drop(ARGV[1])
return 1
"""
)
"""Move a damaged token to another hash; return 1 if it was moved.

Keys: the records of the user, the damaged records of the user. Arguments: client and server; the text that it must
have; milliseconds to keep it.
"""

ERASE = "return redis.call('DEL', unpack(KEYS))"
"""Delete keys of one user."""

ADD_USER = """
local time = redis.call('TIME')
local now = time[1] * 1000
local present = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '')
if not present or present < now + tonumber(ARGV[2]) then
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
return 1
"""
"""Add a user to the index, or keep them for longer. Keys: the index. Arguments: the user; milliseconds to keep them."""

EXPIRE_USER = "return redis.call('ZADD', KEYS[1], 'XX', ARGV[2], ARGV[1])"
"""Set when a user of the index expires. Keys: the index. Arguments: the user; the time in milliseconds."""

REMOVE_USER = "return redis.call('ZREM', KEYS[1], ARGV[1])"
"""Remove a user from the index. Keys: the index. Arguments: the user."""

SCAN_USERS = "return redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])"
"""Return the next cursor, and users with their scores. Keys: the index. Arguments: the cursor; about how many."""
