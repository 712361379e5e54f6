"""The Lua scripts of device flows. Redis runs each one atomically.

Keys of all scripts: a hash with the fields of all flows, and three sorted sets of flow ids: the flows that have not
ended, by the end of their lease; the flows that have ended, by the end of their lease; all flows, by their expiry. The
name of a field is a part and the id: ``value 7b1c``. A lease is thus beside the value: its renewal does not write the
value.

All times are microseconds of the server's clock. A client may send a script again if it lost the reply. So each script
has the same effect and the same reply when it is repeated.

If the memory of the server is full, Redis refuses the first write of a script, and after it none. So a new flow and a
lease are refused as a whole; a grant and an end, which begin with a removal, are accepted.
"""

from __future__ import annotations

_COMMON = """
local PARTS = {'value', 'state', 'granted_to', 'problem', 'ended_at', 'owner', 'head'}
local hash, pending, ended, expiry = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function text(number)
    return string.format('%.0f', number)
end

local function get(part, id)
    return redis.call('HGET', hash, part .. ' ' .. id)
end

local function set(part, id, value)
    redis.call('HSET', hash, part .. ' ' .. id, value)
end

local function has_ended(state)
    return state ~= 'pending' and state ~= 'granted'
end

local function leases_of(state)
    return has_ended(state) and ended or pending
end

local function lease_end(id, state)
    return tonumber(redis.call('ZSCORE', leases_of(state), id) or '') or 0
end

-- Return the flow as the caller gets it; nil if there is none.
local function read(id)
    local state = get('state', id)
    local value = get('value', id)
    if not state or not value then
        return nil
    end
    return {
        id, value, state, get('granted_to', id), get('problem', id), get('ended_at', id), get('owner', id),
        text(lease_end(id, state)),
    }
end

local function forget(id)
    local head = get('head', id)
    if head then
        local user = 'user ' .. string.sub(head, 33)
        if redis.call('HGET', hash, user) == id then
            redis.call('HDEL', hash, user)
        end
    end
    for _, part in ipairs(PARTS) do
        redis.call('HDEL', hash, part .. ' ' .. id)
    end
    for _, key in ipairs({pending, ended, expiry}) do
        redis.call('ZREM', key, id)
    end
end

local function purge()
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', text(now), 'LIMIT', 0, 100)) do
        forget(id)
    end
end

-- Let all keys expire when the last flow does: then nothing stays if no process uses them any more.
local function set_expiry()
    local last = redis.call('ZREVRANGE', expiry, 0, 0, 'WITHSCORES')[2]
    if last then
        for _, key in ipairs(KEYS) do
            redis.call('PEXPIREAT', key, text(math.ceil(tonumber(last) / 1000)))
        end
    end
end
"""

CREATE = (
    _COMMON
    + """
local id, head, user = ARGV[1], ARGV[2] .. ARGV[3], 'user ' .. ARGV[3]
purge()
local found = redis.call('HGET', hash, user)
if found and found ~= ARGV[8] then
    local flow = read(found)
    if flow and not has_ended(flow[3]) then
        return flow
    end
end
if get('state', id) then
    return {}
end
set('value', id, ARGV[4])
set('state', id, ARGV[5])
set('owner', id, ARGV[6])
set('head', id, head)
redis.call('HSET', hash, user, id)
redis.call('ZADD', leases_of(ARGV[5]), text(now + tonumber(ARGV[7])), id)
redis.call('ZADD', expiry, text(now + tonumber(ARGV[9])), id)
set_expiry()
return read(id)
"""
)
"""Store a flow with a lease, unless its user has a pending one. Return the user's pending flow; nothing if another flow
has the id.

Arguments: 1 the id; 2 a hash of client and server; 3 a hash of user, client and server; 4 the value; 5 the state;
6 the owner; 7 the length of the lease; 8 the id of a damaged flow of the user, or an empty string; 9 the time to keep
the flow.
"""

SAVE = (
    _COMMON
    + """
local id, owner = ARGV[1], get('owner', ARGV[1])
local state = get('state', id)
if not state then
    return {'missing', ''}
end
if owner and owner ~= ARGV[3] and lease_end(id, state) > now then
    return {'leased', ''}
end
if state ~= ARGV[4] then
    return {'state', state}
end
set('value', id, ARGV[2])
return {'saved', ''}
"""
)
"""Replace the value of a flow. Return ``saved``, ``missing``, ``leased`` or ``state`` with the present state.

Arguments: the id; the value; the owner as the caller knows it, or an empty string; the state as the caller knows it.
"""

LOAD = _COMMON + "return read(ARGV[1])"
"""Return a flow, or nil. Arguments: the id."""

FIND = (
    _COMMON
    + """
local flow = read(redis.call('HGET', hash, 'user ' .. ARGV[1]) or '')
return flow and not has_ended(flow[3]) and flow or nil
"""
)
"""Return the pending flow of a user, or nil. Arguments: a hash of user, client and server."""

LIST = (
    _COMMON
    + """
purge()
local leases, limit, flows, offset = KEYS[tonumber(ARGV[1])], tonumber(ARGV[3]), {}, 0
while true do
    local ids = redis.call('ZRANGEBYSCORE', leases, '-inf', text(now), 'LIMIT', offset, 200)
    for _, id in ipairs(ids) do
        if string.sub(get('head', id) or '', 1, 32) == ARGV[2] then
            flows[#flows + 1] = read(id)
            if #flows == limit then
                return flows
            end
        end
    end
    if #ids < 200 then
        return flows
    end
    offset = offset + 200
end
"""
)
"""Return flows that no process has leased. Arguments: the number of the key; a hash of client and server; the limit."""

LEASE = (
    _COMMON
    + """
local owner, seconds, leased = ARGV[1], tonumber(ARGV[2]), {}
for number = 3, #ARGV do
    local id = ARGV[number]
    local state, present = get('state', id), get('owner', id)
    if state and (not present or present == owner or lease_end(id, state) <= now) then
        if present ~= owner then
            set('owner', id, owner)
        end
        redis.call('ZADD', leases_of(state), text(now + seconds), id)
        leased[#leased + 1] = id
    end
end
set_expiry()
return leased
"""
)
"""Lease flows; return the ids of those that are leased to the owner now. Arguments: the owner; the time; ids."""

RELEASE = (
    _COMMON
    + """
for number = 2, #ARGV do
    local id = ARGV[number]
    if get('owner', id) == ARGV[1] then
        redis.call('HDEL', hash, 'owner ' .. id)
        redis.call('ZADD', leases_of(get('state', id)), 0, id)
    end
end
set_expiry()
return 1
"""
)
"""Release the leases of an owner. Arguments: the owner; ids."""

GRANT = (
    _COMMON
    + """
local id, state = ARGV[1], get('state', ARGV[1])
if state == 'granted' then
    return get('granted_to', id) == ARGV[2] and 1 or 0
end
if state ~= 'pending' then
    return 0
end
redis.call('HDEL', hash, 'granted_to ' .. id)
set('granted_to', id, ARGV[2])
set('state', id, 'granted')
return 1
"""
)
"""Record which process received the token; return 1 if it is the given one. Arguments: the id; the process."""

END = (
    _COMMON
    + """
local id, state = ARGV[1], get('state', ARGV[1])
if state == ARGV[2] then
    return 1
end
if not state or not string.find(ARGV[3], ' ' .. state .. ' ', 1, true) then
    return 0
end
local lease = text(lease_end(id, state))
redis.call('ZREM', pending, id)
redis.call('ZADD', ended, lease, id)
set('state', id, ARGV[2])
set('ended_at', id, text(now))
if ARGV[4] then
    set('problem', id, ARGV[4])
end
set_expiry()
return 1
"""
)
"""End a flow; return 1 if it has ended in this way.

Arguments: the id; the new state; the states from which it is allowed, each between spaces; the problem, if any.
"""

DELETE = _COMMON + "forget(ARGV[1]) return 1"
"""Delete a flow. Arguments: the id."""
