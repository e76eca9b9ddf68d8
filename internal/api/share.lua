-- share notes on the claim to an Idempotency-Key that another request works under it, so that it is not released.
--
-- KEYS[1]  idempotency record
-- ARGV[1]  the open claim as the caller has seen it
-- ARGV[2]  the same, marked as shared
--
-- Returns  1 if marked
--          0 if the record is another one, shared already, settled, or gone; nothing is written
--
-- Guarantees that the record lives no longer for it.

local record, seen, shared = KEYS[1], ARGV[1], ARGV[2]

if redis.call('GET', record) ~= seen then
  return 0
end
redis.call('SET', record, shared, 'KEEPTTL')
return 1
