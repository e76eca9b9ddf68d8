-- release takes back the claim to an Idempotency-Key, if it is still as the caller has made it.
--
-- KEYS[1]  idempotency record
-- ARGV[1]  the record as the caller claimed it
--
-- Returns  1 if taken back
--          0 if the record is another one, shared, settled, or gone; nothing is written
--
-- Guarantees that a record that another request works under, or that was settled, stays.

local record, claimed = KEYS[1], ARGV[1]

if redis.call('GET', record) ~= claimed then
  return 0
end
return redis.call('DEL', record)
