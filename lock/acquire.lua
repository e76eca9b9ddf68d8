-- acquire takes a lock that nobody holds, or whose lease has run out.
--
-- KEYS[1]  lock hash: nonce, token, until (Unix microseconds)
-- KEYS[2]  fence key
-- ARGV[1]  nonce: random, the caller's
-- ARGV[2]  lease, microseconds
--
-- Returns  {1, token} if taken; {0, microseconds until the holder's lease ends} if not
--
-- Guarantees a token greater than every one handed out before for the lock: the greater of the last one plus 1 and
-- Redis' clock in µs. The lease's truth is the time in the hash, not the key's expiry, which only cleans up.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local held_until = tonumber(redis.call('HGET', KEYS[1], 'until') or '0')
if held_until > now then
  return {0, string.format('%.0f', held_until - now)}
end
local token = string.format('%.0f', math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1, now))
redis.call('SET', KEYS[2], token)
redis.call('HSET', KEYS[1], 'nonce', ARGV[1], 'token', token, 'until', string.format('%.0f', now + tonumber(ARGV[2])))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', tonumber(ARGV[2]) / 1000 + 60000))
return {1, token}
