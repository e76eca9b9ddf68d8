-- attach makes the caller the one who reads under a consumer's name.
--
-- KEYS[1]  the consumer
-- KEYS[2]  all consumers: name by expiry, Unix seconds
-- ARGV[1]  its name
-- ARGV[2]  what it is about, JSON
-- ARGV[3]  how long it is remembered, seconds
-- ARGV[4]  how many there may be
--
-- Returns  {token, cursor or ''}
--          {'about'} if the name is about something else
--          {'many'} if it is new, and there are as many as there may be
--
-- Guarantees that each token is greater than those before, also than those of a consumer of this name that was deleted, and
-- that who is refused changes no consumer.

local consumer, all, name = KEYS[1], KEYS[2], ARGV[1]
local clock = redis.call('TIME')
local now = tonumber(clock[1])

redis.call('ZREMRANGEBYSCORE', all, '-inf', now)
local about = redis.call('HGET', consumer, 'about')
if about and about ~= ARGV[2] then
  return {'about'}
end
if not about and redis.call('ZCARD', all) >= tonumber(ARGV[4]) then
  return {'many'}
end
local before = tonumber(redis.call('HGET', consumer, 'token') or '0')
local token = string.format('%.0f', math.max(before + 1, now * 1000000 + tonumber(clock[2])))
redis.call('HSET', consumer, 'about', ARGV[2], 'token', token)
redis.call('EXPIRE', consumer, ARGV[3])
redis.call('ZADD', all, now + ARGV[3], name)
return {token, redis.call('HGET', consumer, 'cursor') or ''}
