-- Keeps the places of running requests.
--
-- KEYS: the places of a limit, one key for each member. ARGV: how long a place is kept,
-- in ms, then the members. A place that was given up stays so.

local time = redis.call('TIME')
local until_ms = time[1] * 1000 + time[2] / 1000 + tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
    redis.call('ZADD', key, 'XX', until_ms, ARGV[i + 1])
    redis.call('PEXPIRE', key, ARGV[1])
end
return 1
