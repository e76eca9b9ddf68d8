-- leave takes a caller of acquire out of the queue, or gives up what a call took whose reply it has not seen.
--
-- KEYS     see prelude
-- ARGV[1]  nonce of those calls
--
-- Returns  {1, '0'}
--
-- Guarantees that the nonce neither holds the lock nor waits for it, now or later, should a call still be under way; and
-- that whose turn has come is told.

local nonce = ARGV[1]
local holder, released = unpack(call('HMGET', lock, 'nonce', 'released'))
call('ZREM', queue, nonce)
call('ZREM', presence, nonce)
call('DEL', bells .. nonce)
if holder == nonce then
  call('HDEL', lock, 'nonce', 'token', 'until', 'lease')
end
remember(nonce, released)
ring_first()
return {1, '0'}
