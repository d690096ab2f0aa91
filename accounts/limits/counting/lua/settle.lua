-- Replaces what was reserved for a request by what it has used; a second time nothing.
--
-- KEYS: the request's reservation, then the state of each limit.
-- ARGV: the limits as JSON; the request's id; how long to remember the end, in ms, 0 if
-- there was no reservation.
-- A limit is {shape, amount, reserved, from, until, used}, as in take.lua.
--
-- Returns for each limit what a budget has spent now; -1 for another limit.
--
-- Redis may have been restarted since. Then no bucket knows of the request, and a
-- budget that was loaded meanwhile does not: the database has its row only now.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local limits = cjson.decode(ARGV[1])
local request, kept_ms = ARGV[2], tonumber(ARGV[3])

local state = redis.call('GET', KEYS[1])
local is_open, is_done = state == 'open', state == 'done'
local reply = {}

for i, limit in ipairs(limits) do
    local shape, amount, reserved, used = limit[1], limit[2], limit[3], limit[6]
    local key = KEYS[i + 1]
    reply[i] = -1
    if shape == 'places' then
        for n = 1, reserved do redis.call('ZREM', key, request .. '#' .. n) end
    elseif shape == 'bucket' and is_open and used ~= reserved then
        local level = amount
        local known = redis.call('GET', key)
        if known then
            local before, at = known:match('([^@]+)@(.+)')
            local refilled = (now - tonumber(at)) * amount / limit[5]
            level = math.min(amount, tonumber(before) + math.max(refilled, 0))
        end
        -- Below zero it is a debt, and refills like the rest.
        level = math.min(amount, level + reserved - used)
        local full_ms = math.ceil((amount - level) * limit[5] / amount / 1000) + 1000
        redis.call('SET', key, string.format('%.9f@%.0f', level, now), 'PX', full_ms)
    elseif shape == 'budget' and not is_done and redis.call('EXISTS', key) == 1 then
        local change = is_open and used - reserved or used
        reply[i] = redis.call('INCRBY', key, string.format('%.0f', change))
    end
end
if kept_ms > 0 and not is_done then
    redis.call('SET', KEYS[1], 'done', 'PX', kept_ms)
end
return reply
