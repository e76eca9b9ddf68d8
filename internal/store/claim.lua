-- claim returns the leases that a dequeue has granted and whose holder has not heard of: the reply was lost.
--
-- KEYS[1]  active list
-- KEYS[2]  lease zset
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  nonce of that dequeue
-- ARGV[3]  lease, seconds from now on
-- ARGV[4]  most active tasks to look at, the newest first
--
-- Returns  per lease: ID, message, token, owner or ''
--
-- Guarantees that no lease is returned but those of the nonce, which only their holder knows, and that a repeated call
-- returns the same. Runs when Redis is out of memory.

local active, lease = KEYS[1], KEYS[2]
local prefix, nonce = ARGV[1], ARGV[2]

local expiry = string.format('%.6f', now_us / 1000000 + tonumber(ARGV[3]))
local replies, leases = {}, {}
for _, id in ipairs(call('LRANGE', active, 0, ARGV[4] - 1)) do
  local record = redis.pcall('HMGET', prefix .. id, 'state', 'nonce', 'fence', 'msg', 'owner')
  if record[1] == 'active' and record[2] == nonce and record[4] then
    local r, l = #replies, #leases
    replies[r + 1], replies[r + 2], replies[r + 3], replies[r + 4] = id, record[4], record[3], record[5] or ''
    leases[l + 1], leases[l + 2] = expiry, id
  end
end
each_chunk(leases, 1000, function(...) call('ZADD', lease, 'XX', ...) end)
return replies
