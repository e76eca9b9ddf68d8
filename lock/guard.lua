-- guard writes a value, unless a newer holder of the lock is known.
--
-- KEYS[1]  guard hash: token, value
-- KEYS[2]  fence key of the lock of the same name
-- ARGV[1]  token of the writer
-- ARGV[2]  value
--
-- Returns  {1, token of the writer} if written
--          {0, highest token known} if the writer's is lower; nothing is written
--
-- Guarantees that no value replaces that of a higher token, nor any once a higher token was handed out.

local token = tonumber(ARGV[1])
local seen = tonumber(redis.call('HGET', KEYS[1], 'token') or '0')
seen = math.max(seen, tonumber(redis.call('GET', KEYS[2]) or '0'))
if token < seen then
  return {0, string.format('%.0f', seen)}
end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'value', ARGV[2])
return {1, ARGV[1]}
