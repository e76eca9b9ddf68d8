-- extend moves leases forward, if the caller still holds them.
--
-- KEYS[1]  lease zset
-- KEYS[2…] the task hashes
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  lease, seconds
-- ARGV[3…] per task: token, nonce
--
-- Returns  per task two values: 1 if extended, 2 if extended but revoked, 0 if lost; and the token on record, '0' if none
--
-- Guarantees that a caller that no longer holds the lease changes nothing. Runs when Redis is out of memory.

local lease, prefix = KEYS[1], #ARGV[1]
local expiry = string.format('%.6f', now_us / 1000000 + tonumber(ARGV[2]))
local replies, leases = {}, {}

for i = 2, #KEYS do
  local record = redis.call('HMGET', KEYS[i], 'state', 'fence', 'nonce', 'revoked')
  local status = 0
  if holds(record, ARGV[2 * i - 1], ARGV[2 * i]) == 1 then
    status = record[4] and 2 or 1
    leases[#leases + 1] = expiry
    leases[#leases + 1] = string.sub(KEYS[i], prefix + 1)
  end
  replies[2 * i - 3] = status
  replies[2 * i - 2] = record[1] == 'active' and record[2] or '0'
end
each_chunk(leases, 1000, function(...) redis.call('ZADD', lease, ...) end)
return replies
