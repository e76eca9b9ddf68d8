-- keep remembers a consumer for longer, because the caller reads.
--
-- KEYS[1]  the consumer
-- KEYS[2]  all consumers: name by expiry, Unix seconds
-- ARGV[1]  its name
-- ARGV[2]  the caller's token
-- ARGV[3]  how long the consumer is remembered, seconds
--
-- Returns  1, or 0 if somebody else reads, or the consumer is gone
--
-- Guarantees that a caller whose token is stale changes nothing.

local consumer, all = KEYS[1], KEYS[2]

if redis.call('HGET', consumer, 'token') ~= ARGV[2] then
  return 0
end
redis.call('EXPIRE', consumer, ARGV[3])
redis.call('ZADD', all, redis.call('TIME')[1] + ARGV[3], ARGV[1])
return 1
