-- sweep repairs what no sequence of transitions can have made: traces of foreign programs, of lost writes, of hands.
--
-- KEYS[1]  active list
-- KEYS[2]  lease zset
-- KEYS[3]  scheduled zset
-- KEYS[4]  retry zset
-- KEYS[5]  archived zset
-- KEYS[6]  completed zset
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  lease for an active task that has none, seconds
-- ARGV[3]  number of members to look at in each container, at most 1,000
-- ARGV[4]  offset from the oldest member, which the caller moves on from call to call
--
-- Returns  {active tasks that got a lease, IDs without a task that were removed, 1 if some container has more members}
--
-- Guarantees that a task that is active without a lease is taken back by recover one lease later, and that every ID in
-- a container has a message, without which asynq's readers fail on the whole queue. Runs when Redis is out of memory.

local active, lease = KEYS[1], KEYS[2]
local prefix, n, offset = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local expiry = string.format('%.6f', now_us / 1000000 + tonumber(ARGV[2]))

local leased, ghosts, more = 0, 0, 0

local ids = call('LRANGE', active, -(offset + n), -(offset + 1))
if #ids == n then
  more = 1
end
for _, id in ipairs(ids) do
  local record = call('HMGET', prefix .. id, 'msg', 'state')
  if not record[1] or record[2] ~= 'active' then
    call('ZREM', lease, id)
    call('LREM', active, -1, id)
    if not record[1] then
      call('DEL', prefix .. id)
    end
    ghosts = ghosts + 1
  elseif call('ZADD', lease, 'NX', expiry, id) == 1 then
    leased = leased + 1
  end
end

for i = 3, 6 do
  local members = call('ZRANGE', KEYS[i], offset, offset + n - 1)
  if #members == n then
    more = 1
  end
  for _, id in ipairs(members) do
    if call('HEXISTS', prefix .. id, 'msg') == 0 then
      call('ZREM', KEYS[i], id)
      call('DEL', prefix .. id)
      ghosts = ghosts + 1
    end
  end
end
return {leased, ghosts, more}
