-- extend moves a lock's lease forward, if the caller still holds it.
--
-- KEYS[1]  lock hash
-- ARGV[1]  nonce the lock was taken with
-- ARGV[2]  lease, microseconds
--
-- Returns  1 if extended, 0 if the lock is another's or nobody's
--
-- Guarantees that a caller that no longer holds the lock changes nothing. A lease that has run out but that nobody has
-- taken since is still the caller's.

if redis.call('HGET', KEYS[1], 'nonce') ~= ARGV[1] then
  return 0
end
local clock = redis.call('TIME')
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', clock[1] * 1000000 + clock[2] + tonumber(ARGV[2])))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', tonumber(ARGV[2]) / 1000 + 60000))
return 1
