-- claim returns the leases that dequeues have granted and whose holder has not heard of: the replies were lost.
--
-- KEYS[1]  active list
-- KEYS[2]  lease zset
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  lease, seconds from now on
-- ARGV[3]  most active tasks to look at, the newest first
-- ARGV[4…] nonces of those dequeues
--
-- Returns  per lease: ID, message, token, owner or '', nonce
--
-- Guarantees that no lease is returned but those of the nonces, which only their holder knows, and that a repeated call
-- returns the same. Runs when Redis is out of memory.

local active, lease = KEYS[1], KEYS[2]
local prefix = ARGV[1]

local asked = {}
for i = 4, #ARGV do
  asked[ARGV[i]] = true
end

local expiry = string.format('%.6f', now_us / 1000000 + tonumber(ARGV[2]))
local replies, leases = {}, {}
for _, id in ipairs(call('LRANGE', active, 0, ARGV[3] - 1)) do
  local task = prefix .. id
  local holder = redis.pcall('HMGET', task, 'state', 'nonce') -- of all; the message, which may be long, only of ours
  if holder[1] == 'active' and asked[holder[2]] then
    local record = call('HMGET', task, 'msg', 'fence', 'owner')
    if record[1] then
      local r, l = #replies, #leases
      replies[r + 1], replies[r + 2], replies[r + 3], replies[r + 4], replies[r + 5] = id, record[1], record[2], record[3] or '', holder[2]
      leases[l + 1], leases[l + 2] = expiry, id
    end
  end
end
each_chunk(leases, 1000, function(...) call('ZADD', lease, 'XX', ...) end)
return replies
