-- remove forgets a consumer.
--
-- KEYS[1]  the consumer
-- KEYS[2]  all consumers: name by expiry, Unix seconds
-- ARGV[1]  its name
--
-- Returns  1, or 0 if there is none
--
-- Guarantees that who reads under the name sees that he does no longer: the next one's token is greater.

redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])
