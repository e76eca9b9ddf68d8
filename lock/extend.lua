-- extend moves a lock's lease forward, if the caller still holds it.
--
-- KEYS     see prelude
-- ARGV[1]  nonce the lock was taken with
-- ARGV[2]  lease, µs
--
-- Returns  {1, token} if extended
--          {0, token of the holder} if the lock is another's; {0, '0'} if it is nobody's
--
-- Guarantees that a caller that no longer holds the lock changes nothing. A lease that has run out but that nobody has
-- taken since is still the caller's. It works in a full Redis: its first write needs no memory.

local nonce, lease = ARGV[1], tonumber(ARGV[2])
local holder, token = unpack(call('HMGET', lock, 'nonce', 'token'))
if holder ~= nonce then
  return {0, token or '0'}
end
call('PEXPIRE', lock, digits(lease / 1000 + 60000))
call('HSET', lock, 'until', digits(now + lease), 'lease', ARGV[2])
return {1, token}
