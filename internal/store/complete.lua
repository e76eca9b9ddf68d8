-- complete ends attempts that succeeded.
--
-- KEYS[1]  active list
-- KEYS[2]  lease zset
-- KEYS[3]  completed zset
-- KEYS[4]  events stream
-- KEYS[5]  processed total
-- KEYS[6…] the task hashes, then the uniqueness locks and owner indexes that the tasks refer to by number
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  most entries of the events stream
-- ARGV[3]  number of tasks
-- ARGV[4]  most bytes of a result in an event
-- ARGV[5…] per task: token, nonce, retention in seconds (0: delete at once), result, index of its uniqueness lock in
--          KEYS (0: none), index of its owner's tasks in KEYS (0: none), the event's JSON from "kind" on, which ends
--          where the result belongs if that is to be in the event
--
-- Returns  for each task that was not changed three values: its place in the call; 2 if the caller had ended the lease
--          before, 0 if the lease is lost; and the token on record, '0' if none
--
-- Guarantees that of all holders of a task at most one ends it, and that a repeated call changes nothing.
-- Runs when Redis is out of memory.

local active, lease, completed, stream, processed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prefix, maxlen, n, most = #ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local completed_at = '\104' .. varint(now_s) -- field 13 of asynq's message
local ended, deleted, kept, gone, disowned = {}, {}, {}, {}, {}

for i = 1, n do
  local task, arg = KEYS[5 + i], 7 * i - 2
  local retention, lock, owned = tonumber(ARGV[arg + 2]), tonumber(ARGV[arg + 4]), tonumber(ARGV[arg + 5])
  local record
  if retention == 0 then
    record = call('HMGET', task, 'state', 'fence', 'nonce', 'seq')
  else
    record = call('HMGET', task, 'state', 'fence', 'nonce', 'seq', 'revoked', 'msg')
  end
  local status = holds(record, ARGV[arg], ARGV[arg + 1])
  if status == 1 and gone[task] then
    status = 2 -- named twice in this call, and to be deleted below
  elseif status == 1 then
    local id, seq, result = string.sub(task, prefix + 1), after(record[4]), ARGV[arg + 3]
    ended[#ended + 1] = id
    if retention == 0 then
      deleted[#deleted + 1], gone[task] = task, true
      if owned > 0 then
        local index = KEYS[owned]
        disowned[index] = disowned[index] or {}
        table.insert(disowned[index], id)
      end
    else
      local k = #kept
      kept[k + 1], kept[k + 2] = digits(now_s + retention), id
      if result == '' then
        call('HSET', task, 'msg', record[6] .. completed_at, 'state', 'completed', 'finished', at, 'seq', seq)
      else
        call('HSET', task, 'msg', record[6] .. completed_at, 'state', 'completed', 'finished', at, 'seq', seq, 'result', result)
      end
      settle_mark(task, record[5])
    end
    if lock > 0 and call('GET', KEYS[lock]) == id then
      call('DEL', KEYS[lock])
    end
    if result ~= '' and #result <= most then -- the one string stands for both, so that it crosses the network once
      event(seq, ARGV[arg + 6], result, '}')
    else
      event(seq, ARGV[arg + 6])
    end
  end
  if status ~= 1 then
    refuse(i, status, record)
  end
end

each_chunk(ended, 1000, function(...) call('ZREM', lease, ...) end)
leave(active, ended)
each_chunk(deleted, 1000, function(...) call('DEL', ...) end)
for index, ids in pairs(disowned) do
  each_chunk(ids, 1000, function(...) call('ZREM', index, ...) end)
end
each_chunk(kept, 1000, function(...) call('ZADD', completed, ...) end)
count(processed, #ended)
append_events(stream, maxlen)
return refusals
