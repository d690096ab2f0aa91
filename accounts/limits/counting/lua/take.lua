-- Takes what a request costs from every limit that holds for it, or from none.
--
-- KEYS: the request's reservation, then the state of each limit.
-- ARGV: the limits as JSON; the request's id; how long a place among the parallel
-- requests is kept, in ms; how long the reservation is, in ms, 0 for none; "peek" to
-- take nothing.
-- A limit is {shape, amount, cost, from, until, loaded}: a "bucket" is full again after
-- `until` µs; a "budget" counts from one time to another, in µs since the epoch, and
-- `loaded` is what was spent before, if the caller knows; "places" has neither.
--
-- Returns a status (1 taken, 0 refused, -1 a budget's `loaded` is missing, -2 a budget
-- of another time), the time in µs, and for each limit: whether there is enough,
-- what is left, the µs until there is enough, the µs until all is left again.
-- The time is Redis's, so that the clocks of machines do not matter.

-- Rounding must not refuse what has refilled; a millionth of a request is nothing.
local EPSILON = 1e-6

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local limits = cjson.decode(ARGV[1])
local request, lease_ms, kept_ms = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local peek = ARGV[5] == 'peek'

local levels, enough, waits = {}, {}, {}
local all_enough, is_missing, is_other_time = true, false, false

for i, limit in ipairs(limits) do
    local shape, amount, cost = limit[1], limit[2], limit[3]
    local key = KEYS[i + 1]
    if shape == 'bucket' then
        local level = amount
        local state = redis.call('GET', key)
        if state then
            local before, at = state:match('([^@]+)@(.+)')
            local refilled = (now - tonumber(at)) * amount / limit[5]
            level = math.min(amount, tonumber(before) + math.max(refilled, 0))
        end
        levels[i] = level
        enough[i] = cost == 0 or level + EPSILON >= cost
        waits[i] = math.max(cost - level, 0) * limit[5] / amount
    elseif shape == 'places' then
        redis.call('ZREMRANGEBYSCORE', key, '-inf', now / 1000)
        levels[i] = amount - redis.call('ZCARD', key)
        enough[i] = levels[i] >= cost
        -- Nobody knows when a request ends.
        waits[i] = 1000000
    else
        local spent = redis.call('GET', key)
        if now < limit[4] or now >= limit[5] then is_other_time = true end
        if not spent then
            if limit[6] == cjson.null or limit[6] == nil then
                is_missing = true
                spent = 0
            else
                spent = limit[6]
                local rest_ms = math.max(math.ceil((limit[5] - now) / 1000), 1)
                -- A day more: machines whose clock is late still find it.
                redis.call('SET', key, string.format('%.0f', spent), 'PX', rest_ms + 86400000)
            end
        end
        levels[i] = amount - tonumber(spent)
        enough[i] = cost == 0 or levels[i] >= cost
        waits[i] = limit[5] - now
    end
    all_enough = all_enough and enough[i]
end

local status = 1
if is_other_time then status = -2
elseif is_missing then status = -1
elseif not all_enough then status = 0 end

local takes = status == 1 and not peek
local reply = {status, string.format('%.0f', now)}
for i, limit in ipairs(limits) do
    local shape, amount, cost = limit[1], limit[2], limit[3]
    local key = KEYS[i + 1]
    if takes then
        levels[i] = levels[i] - cost
        if shape == 'bucket' then
            local full_ms = (amount - levels[i]) * limit[5] / amount / 1000
            local state = string.format('%.9f@%.0f', levels[i], now)
            redis.call('SET', key, state, 'PX', math.ceil(full_ms) + 1000)
        elseif shape == 'places' then
            for n = 1, cost do
                redis.call('ZADD', key, now / 1000 + lease_ms, request .. '#' .. n)
            end
            redis.call('PEXPIRE', key, lease_ms)
        elseif cost > 0 then
            redis.call('INCRBY', key, string.format('%.0f', cost))
        end
    end
    local full = limit[5] - now
    if shape == 'bucket' then
        full = math.max(amount - levels[i], 0) * limit[5] / amount
    elseif shape == 'places' then
        full = 0
    end
    table.insert(reply, enough[i] and 1 or 0)
    table.insert(reply, string.format('%.0f', math.floor(levels[i] + EPSILON)))
    table.insert(reply, string.format('%.0f', math.ceil(waits[i])))
    table.insert(reply, string.format('%.0f', math.ceil(full)))
end
if takes and kept_ms > 0 then
    redis.call('SET', KEYS[1], 'open', 'PX', kept_ms)
end
return reply
