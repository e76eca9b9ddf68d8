-- claim returns the leases that dequeues have granted and whose holder has not heard of: the replies were lost.
--
-- KEYS[1]  active list
-- KEYS[2]  lease zset
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  lease, seconds from now on
-- ARGV[3]  most active tasks to look at, the newest first
-- ARGV[4]  how long ago the oldest of those dequeues was asked for at most, seconds
-- ARGV[5]  how many leases they may have granted
-- ARGV[6…] their nonces
--
-- Returns  per lease: ID, message, token, owner or '', nonce
--
-- Guarantees that no lease is returned but those of the nonces, which only their holder knows, and that a repeated call
-- returns the same. Looks at what was leased since the dequeues were asked for, and at little more: a token is at least the
-- time at which it was given. Runs when Redis is out of memory.

local active, lease = KEYS[1], KEYS[2]
local prefix, depth, since, most = ARGV[1], tonumber(ARGV[3]), now_us - ARGV[4] * 1000000, tonumber(ARGV[5])

local asked = {}
for i = 6, #ARGV do
  asked[ARGV[i]] = true
end

local piece = 100
local expiry = string.format('%.6f', now_us / 1000000 + tonumber(ARGV[2]))
local replies, leases = {}, {}
for first = 0, depth - 1, piece do
  local recent = false
  for _, id in ipairs(call('LRANGE', active, first, first + piece - 1)) do
    local task = prefix .. id
    local holder = redis.pcall('HMGET', task, 'state', 'nonce', 'fence') -- of all; the message, which may be long, only of ours
    recent = recent or number(holder[3]) >= since
    if holder[1] == 'active' and asked[holder[2]] then
      local record = call('HMGET', task, 'msg', 'fence', 'owner')
      if record[1] then
        local r, l = #replies, #leases
        replies[r + 1], replies[r + 2], replies[r + 3], replies[r + 4], replies[r + 5] = id, record[1], record[2], record[3] or '', holder[2]
        leases[l + 1], leases[l + 2] = expiry, id
      end
    end
  end
  if not recent or #leases >= 2 * most then -- what stands behind is older; a sweep may have put a single one out of order
    break
  end
end
each_chunk(leases, 1000, function(...) call('ZADD', lease, 'XX', ...) end)
return replies
