-- release gives a lock up, if the caller still holds it, and wakes who has waited longest.
--
-- KEYS     see prelude
-- ARGV[1]  nonce the lock was taken with
--
-- Returns  {1, '0'} if released, now or by an earlier call with the same nonce
--          {0, token of the holder} if the lock is another's; {0, '0'} if it is nobody's
--
-- Guarantees that a caller that no longer holds the lock changes nothing. The fence stays.

local nonce = ARGV[1]
local holder, token, released = unpack(call('HMGET', lock, 'nonce', 'token', 'released'))
if released and string.find(released, nonce, 1, true) then
  return {1, '0'}
end
if holder ~= nonce then
  return {0, token or '0'}
end
call('HDEL', lock, 'nonce', 'token', 'until', 'lease')
remember(nonce, released)
ring_first()
return {1, '0'}
