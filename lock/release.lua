-- release gives a lock up, if the caller still holds it.
--
-- KEYS[1]  lock hash
-- ARGV[1]  nonce the lock was taken with
--
-- Returns  1 if released, 0 if the lock is another's or nobody's
--
-- Guarantees that a caller that no longer holds the lock changes nothing. The fence stays.

if redis.call('HGET', KEYS[1], 'nonce') ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
return 1
