-- adopt puts tasks back that stand in no container: nobody would ever run them, or delete them.
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
-- ARGV[3]  lease for a task that is active, seconds
-- ARGV[4…] IDs that have a hash, at most 1,000
--
-- Returns  {put back, quarantined, hashes without a message that were deleted}
--
-- Guarantees that a task stays what its state says: what was pending is the next to start, what was active is taken back
-- by recover one lease later, what has ended is kept for a day. What was scheduled and has lost its time must not start
-- early, and is archived with the reason quarantined, for a person to decide. Pending tasks are looked for only while no
-- more than 10,000 wait. Runs when Redis is out of memory.

local pending, active, lease, due, stream = KEYS[1], KEYS[2], KEYS[3], KEYS[8], KEYS[9]
local sets = {scheduled = KEYS[4], retry = KEYS[5], archived = KEYS[6], completed = KEYS[7]}
local prefix, maxlen = ARGV[1], ARGV[2]

local found = {no_place = 0, quarantined = 0, lost = 0}

local function start(id, task)
  call('RPUSH', pending, id)
  call('HSET', task, 'state', 'pending', 'pending_since', digits(now_us) .. '000')
  return 'pending'
end

local function quarantine(id, task, record)
  local text = 'the task has lost its place, and with it the time for which it was scheduled'
  local seq = after(record[3])
  call('ZADD', sets.archived, now_s, id)
  call('HSET', task, 'msg', record[1] .. '\58' .. varint(#text) .. text .. '\88' .. varint(now_s), -- fields 7, 11
    'state', 'archived', 'reason', 'quarantined', 'finished', at, 'seq', seq)
  event(seq, '"kind":"failed",' .. about(id, record[1], record[4]) .. ',"data":{"reason":"quarantined","error":"' .. text .. '"}')
  found.quarantined = found.quarantined + 1
end

-- put returns a task to where its state says; the state it has then, or nil if it was quarantined.
local put = {
  pending = start,
  active = function(id)
    call('LPUSH', active, id)
    call('ZADD', lease, 'NX', string.format('%.6f', now_us / 1000000 + tonumber(ARGV[3])), id)
    return 'active'
  end,
  archived = function(id) call('ZADD', sets.archived, now_s, id) return 'archived' end,
  completed = function(id) call('ZADD', sets.completed, now_s + 86400, id) return 'completed' end,
}

local function wait(state, otherwise)
  return function(id, task, record)
    local exact = call('ZSCORE', due, id)
    if not exact then
      return otherwise(id, task, record)
    end
    call('ZADD', sets[state], digits(math.ceil(tonumber(exact) / 1000)), id)
    return state
  end
end
put.scheduled, put.retry = wait('scheduled', quarantine), wait('retry', start)

-- astray reports whether a task stands nowhere that its state says.
local function astray(id, state)
  if sets[state] then
    return not call('ZSCORE', sets[state], id)
  elseif state == 'active' then
    return listed(active, id) == false
  elseif state == 'pending' then
    return listed(pending, id) == false
  end
  return false -- in one of asynq's groups
end

for i = 4, #ARGV do
  local id = ARGV[i]
  local task = prefix .. id
  local record = redis.pcall('HMGET', task, 'msg', 'state', 'seq', 'owner', 'reason')
  if not record[1] then
    found.lost = found.lost + call('DEL', task)
  elseif astray(id, record[2]) then
    local state = put[record[2]](id, task, record)
    if state then
      found.no_place = found.no_place + 1
      tell(task, id, record, state, 'no_place')
    end
  end
end

counted(KEYS[10], found)
append_events(stream, maxlen)
return {found.no_place, found.quarantined, found.lost}
