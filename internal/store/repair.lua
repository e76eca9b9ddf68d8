-- repair stands before sweep and adopt: where an ID stands, and what is told of a repair.
--
-- KEYS        those of the script that follows
-- ARGV        those of the script that follows
--
-- Returns     nothing
--
-- Guarantees  that a repair is told by an event, of a task that Seri has numbered events of; that no list is read that
--             has more than 10,000 elements.

-- words are asynq's states in those of events.
local words = {
  pending = 'pending', scheduled = 'scheduled', active = 'active', retry = 'retrying', completed = 'succeeded', archived = 'failed',
}

local lists = {} -- the sets of their elements, for each list that was asked for

-- listed reports whether a list holds an ID; nil if it is too long to look.
local function listed(list, id)
  if lists[list] == nil then
    lists[list] = false
    if call('LLEN', list) <= 10000 then
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

-- tell notes that a task was repaired, and the state that it has now. (record: msg, state, seq, owner, reason)
local function tell(task, id, record, state, reason)
  if not record[3] then
    return
  end
  local seq, word = after(record[3]), words[state]
  if state == 'archived' and (record[5] == 'revoked' or record[5] == 'expired') then
    word = 'revoked'
  end
  call('HSET', task, 'seq', seq)
  record[3] = seq
  event(seq, '"kind":"repaired",' .. about(id, record[1], record[4]) .. ',"data":{"reason":"' .. reason .. '","state":"' .. word .. '"}')
end

-- counted adds to the queue's totals of repairs, which outlive every worker.
local function counted(repairs, found)
  for name, n in pairs(found) do
    if n > 0 then
      call('HINCRBY', repairs, name, n)
    end
  end
end

