-- advance moves a consumer's cursor, if the caller is the one who reads, and the cursor is still where he has seen it.
--
-- KEYS[1]  the consumer
-- KEYS[2]  all consumers: name by expiry, Unix seconds
-- ARGV[1]  its name
-- ARGV[2]  the caller's token
-- ARGV[3]  the cursor that he has seen; '' for none
-- ARGV[4]  the new one
-- ARGV[5]  how long the consumer is remembered, seconds
--
-- Returns  when it was moved, Unix milliseconds; 0 if it is elsewhere by now, or was read by somebody else, or is gone
--
-- Guarantees that of two callers at once one is told to look again, and that a caller whose token is stale changes nothing.

local consumer, all = KEYS[1], KEYS[2]

if redis.call('HGET', consumer, 'token') ~= ARGV[2] or (redis.call('HGET', consumer, 'cursor') or '') ~= ARGV[3] then
  return 0
end
local clock = redis.call('TIME')
local at = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', consumer, 'cursor', ARGV[4], 'at', string.format('%.0f', at))
redis.call('EXPIRE', consumer, ARGV[5])
redis.call('ZADD', all, clock[1] + ARGV[5], ARGV[1])
return at
