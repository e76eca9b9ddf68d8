-- sweep repairs what no sequence of transitions can have made: traces of foreign programs, of lost writes, of hands.
--
-- KEYS[1]  pending list
-- KEYS[2]  active list
-- KEYS[3]  lease zset
-- KEYS[4]  scheduled zset
-- KEYS[5]  retry zset
-- KEYS[6]  archived zset
-- KEYS[7]  completed zset
-- KEYS[8]  due zset
-- KEYS[9]  events stream
-- KEYS[10] repairs hash
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  most entries of the events stream
-- ARGV[3]  lease for an active task that has none, seconds
-- ARGV[4]  number of members to look at in each container, at most 1,000
-- ARGV[5]  offset from the oldest member, which the caller moves on from call to call
--
-- Returns  {1 if some container has more members, removals, active tasks that got a lease, IDs without a task that were
--          removed, IDs removed from a container that was not theirs, tasks whose state was set to their container's,
--          leased tasks put back into active, leases of nothing that was active, exact times of nothing that waits}
--
-- Guarantees that a task that is active without a lease is taken back by recover one lease later; that every ID in a
-- container has a message, without which asynq's readers fail on the whole queue; that a task stands where its state says
-- and there alone. Of the pending list it looks at those that are the next to start. Runs when Redis is out of memory.

local pending, active, lease, due, stream = KEYS[1], KEYS[2], KEYS[3], KEYS[8], KEYS[9]
local sets = {scheduled = KEYS[4], retry = KEYS[5], archived = KEYS[6], completed = KEYS[7]}
local prefix, maxlen, n, offset = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local expiry = string.format('%.6f', now_us / 1000000 + tonumber(ARGV[3]))

local found = {no_lease = 0, lost = 0, two_places = 0, wrong_state = 0, no_place = 0, stale_lease = 0, stale_time = 0}
local more, removals = 0, 0

local function note(what)
  found[what] = found[what] + 1
end

-- stands reports whether an ID stands where a state says; nil if that is not known.
local function stands(id, state)
  if sets[state] then
    return call('ZSCORE', sets[state], id) and true or false
  elseif state == 'active' then
    return listed(active, id)
  elseif state == 'pending' then
    return listed(pending, id)
  end
end

-- examine looks at one ID in a container, from which remove takes it. It reports whether the ID belongs there.
local function examine(id, here, remove)
  local task = prefix .. id
  local state = state_of(task)
  if state == nil then
    remove(id)
    call('DEL', task)
    note('lost')
    removals = removals + 1
    if here ~= 'completed' and here ~= 'archived' then -- what had ended has not failed
      event('0', '"kind":"failed","task":' .. encode(id) .. ',"type":"","data":{"reason":"lost"}')
    end
    return false
  end
  if state == here then
    return true
  end
  local elsewhere = stands(id, state)
  if elsewhere then
    remove(id)
    note('two_places')
    removals = removals + 1
    tell(task, id, state, 'two_places')
  elseif elsewhere == false or not state then
    call('HSET', task, 'state', here)
    note('wrong_state')
    tell(task, id, here, 'wrong_state')
    return true
  end
  return false
end

local function not_active(id)
  end_lease(active, lease, id)
end

local ids = call('LRANGE', active, -(offset + n), -(offset + 1))
if #ids == n then
  more = 1
end
for _, id in ipairs(ids) do
  if examine(id, 'active', not_active) and call('ZADD', lease, 'NX', expiry, id) == 1 then
    note('no_lease')
    tell(prefix .. id, id, 'active', 'no_lease')
  end
end

if call('ZCARD', lease) > call('LLEN', active) then
  for _, id in ipairs(call('ZRANGE', lease, offset, offset + n - 1)) do
    if listed(active, id) == false then
      local task = prefix .. id
      if state_of(task) == 'active' then
        call('LPUSH', active, id)
        note('no_place')
        tell(task, id, 'active', 'no_place')
      else
        call('ZREM', lease, id)
        note('stale_lease')
        removals = removals + 1
      end
    end
  end
end

if offset == 0 then
  local seen = {}
  for _, id in ipairs(call('LRANGE', pending, -n, -1)) do
    if seen[id] then
      call('LREM', pending, -1, id)
      note('two_places')
    end
    seen[id] = true
    examine(id, 'pending', function() call('LREM', pending, -1, id) end)
  end
end

for state, set in pairs(sets) do
  local members = call('ZRANGE', set, offset, offset + n - 1)
  if #members == n then
    more = 1
  end
  for _, id in ipairs(members) do
    examine(id, state, function() call('ZREM', set, id) end)
  end
end

local exact = call('ZRANGE', due, offset, offset + n - 1, 'WITHSCORES')
if #exact == 2 * n then
  more = 1
end
for i = 1, #exact, 2 do
  local score = call('ZSCORE', sets.scheduled, exact[i]) or call('ZSCORE', sets.retry, exact[i])
  if not score or tonumber(score) ~= math.ceil(tonumber(exact[i + 1]) / 1000) then
    call('ZREM', due, exact[i])
    note('stale_time')
    removals = removals + 1
  end
end

counted(KEYS[10], found)
append_events(stream, maxlen)
return {
  more, removals, found.no_lease, found.lost, found.two_places, found.wrong_state, found.no_place, found.stale_lease, found.stale_time,
}
