-- extend moves leases forward, if the caller still holds them.
--
-- KEYS[1]  lease zset
-- KEYS[2…] the task hashes
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  lease, seconds
-- ARGV[3…] per task: token, nonce
--
-- Returns  for each task that was not simply extended three values: its place in the call; 3 if it was extended but is
--          revoked, 0 if the lease is lost; and the token on record, '0' if none
--
-- Guarantees that a caller that no longer holds the lease changes nothing. Runs when Redis is out of memory.

local lease, prefix = KEYS[1], #ARGV[1]
local expiry = string.format('%.6f', now_us / 1000000 + tonumber(ARGV[2]))
local leases = {}

for i = 2, #KEYS do
  local record = call('HMGET', KEYS[i], 'state', 'fence', 'nonce', 'revoked')
  local held = holds(record, ARGV[2 * i - 1], ARGV[2 * i]) == 1
  if held then
    leases[#leases + 1] = expiry
    leases[#leases + 1] = string.sub(KEYS[i], prefix + 1)
  end
  if not held or record[4] then
    refuse(i - 1, held and 3 or 0, record)
  end
end
each_chunk(leases, 1000, function(...) call('ZADD', lease, ...) end)
return refusals
