-- repair stands before sweep and adopt: where an ID stands, and what is told of a repair.
--
-- KEYS        those of the script that follows
-- ARGV        those of the script that follows
--
-- Returns     nothing
--
-- Guarantees  that a repair is told by an event, of a task that Seri has numbered events of; that no list is read that
--             has more than 10,000 elements, and no message but that of a task of which something is told.

-- words are asynq's states in those of events.
local words = {
  pending = 'pending', scheduled = 'scheduled', active = 'active', retry = 'retrying', completed = 'succeeded', archived = 'failed',
}

-- state_of returns the state of a task, false if its record names none; nil if there is no message, and so no task.
local function state_of(task)
  if redis.pcall('HEXISTS', task, 'msg') == 1 then
    return call('HGET', task, 'state')
  end
end

-- told returns what events are made of. (msg, seq, owner, reason)
local function told(task)
  return call('HMGET', task, 'msg', 'seq', 'owner', 'reason')
end

-- short reports whether a list is short enough to be read.
local lengths = {}
local function short(list)
  lengths[list] = lengths[list] or call('LLEN', list)
  return lengths[list] <= 10000
end

local lists = {} -- the sets of their elements, for each list that was asked for

-- listed reports whether a list holds an ID; nil if it is too long to look.
local function listed(list, id)
  if lists[list] == nil then
    lists[list] = false
    if short(list) then
      lists[list] = {}
      for _, member in ipairs(call('LRANGE', list, 0, -1)) do
        lists[list][member] = true
      end
    end
  end
  if lists[list] then
    return lists[list][id] == true
  end
end

-- tell notes that a task was repaired, and the state that it has now.
local function tell(task, id, state, reason)
  local record = told(task)
  if not record[2] then
    return
  end
  local seq, word = after(record[2]), words[state]
  if state == 'archived' and (record[4] == 'revoked' or record[4] == 'expired') then
    word = 'revoked'
  end
  call('HSET', task, 'seq', seq)
  event(seq, '"kind":"repaired",' .. about(id, record[1], record[3]) .. ',"data":{"reason":"' .. reason .. '","state":"' .. word .. '"}')
end

-- counted adds to the queue's totals of repairs, which outlive every worker.
local function counted(repairs, found)
  for name, n in pairs(found) do
    if n > 0 then
      call('HINCRBY', repairs, name, n)
    end
  end
end

