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
-- KEYS[11] cursor of the search
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  most entries of the events stream
-- ARGV[3]  lease for a task that is active, seconds
-- ARGV[4]  where the next search goes on, '0' at the beginning; '' while this one has not ended
-- ARGV[5]  1 to look lists through, 0 to return the IDs that should stand in one
-- ARGV[6…] IDs that have a hash, at most 1,000
--
-- Returns  {put back, quarantined, hashes without a message that were deleted, IDs that should stand in pending, in active}
--
-- Guarantees that a task stays what its state says: what was pending is the next to start, what was active is taken back
-- by recover one lease later, what has ended is kept for a day. What was scheduled and has lost its time must not start
-- early, and is archived with the reason quarantined, for a person to decide. Pending tasks are looked for only while no
-- more than 10,000 wait. Runs when Redis is out of memory.

local pending, active, lease, due, stream = KEYS[1], KEYS[2], KEYS[3], KEYS[8], KEYS[9]
local sets = {scheduled = KEYS[4], retry = KEYS[5], archived = KEYS[6], completed = KEYS[7]}
local prefix, maxlen, cursor, thorough = ARGV[1], ARGV[2], ARGV[4], ARGV[5] == '1'

local found = {no_place = 0, quarantined = 0, lost = 0}

local function start(id, task)
  call('RPUSH', pending, id)
  call('HSET', task, 'state', 'pending', 'pending_since', digits(now_us) .. '000')
  return 'pending'
end

local function quarantine(id, task)
  local record = told(task)
  local text = 'the task has lost its place, and with it the time for which it was scheduled'
  local seq = after(record[2])
  call('ZADD', sets.archived, now_s, id)
  call('HSET', task, 'msg', record[1] .. '\58' .. varint(#text) .. text .. '\88' .. varint(now_s), -- fields 7, 11
    'state', 'archived', 'reason', 'quarantined', 'finished', at, 'seq', seq)
  event(seq, '"kind":"failed",' .. about(id, record[1], record[3]) .. ',"data":{"reason":"quarantined","error":"' .. text .. '"}')
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
  return function(id, task)
    local exact = call('ZSCORE', due, id)
    if not exact then
      return otherwise(id, task)
    end
    call('ZADD', sets[state], digits(math.ceil(tonumber(exact) / 1000)), id)
    return state
  end
end
put.scheduled, put.retry = wait('scheduled', quarantine), wait('retry', start)

local lists_of = {pending = pending, active = active}
local in_doubt = {pending = {}, active = {}}

-- astray reports whether a task stands nowhere that its state says.
local function astray(id, state)
  if sets[state] then
    return not call('ZSCORE', sets[state], id)
  elseif not lists_of[state] then
    return false -- in one of asynq's groups
  elseif thorough then
    return listed(lists_of[state], id) == false
  elseif short(lists_of[state]) then
    table.insert(in_doubt[state], id)
  end
  return false
end

for i = 6, #ARGV do
  local id = ARGV[i]
  local task = prefix .. id
  local state = state_of(task)
  if state == nil then
    found.lost = found.lost + call('DEL', task)
  elseif astray(id, state) then
    local back = put[state](id, task)
    if back then
      found.no_place = found.no_place + 1
      tell(task, id, back, 'no_place')
    end
  end
end

if cursor == '0' then
  call('DEL', KEYS[11])
elseif cursor ~= '' then
  call('SET', KEYS[11], cursor, 'EX', 86400)
end
counted(KEYS[10], found)
append_events(stream, maxlen)
return {found.no_place, found.quarantined, found.lost, in_doubt.pending, in_doubt.active}
