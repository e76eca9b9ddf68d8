-- complete ends attempts that succeeded.
--
-- KEYS[1]  active list
-- KEYS[2]  lease zset
-- KEYS[3]  completed zset
-- KEYS[4]  events stream
-- KEYS[5]  processed total
-- KEYS[6…] the task hashes, then the uniqueness locks that the tasks refer to by number
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  most entries of the events stream
-- ARGV[3]  number of tasks
-- ARGV[4…] per task: token, nonce, retention in seconds (0: delete at once), result, index of its uniqueness lock in
--          KEYS (0: none), the event's JSON from "kind" on
--
-- Returns  per task two values: 1 if ended, 2 if the caller had ended the lease before, 0 if the lease is lost; and the
--          token on record, '0' if none
--
-- Guarantees that of all holders of a task at most one ends it, and that a repeated call changes nothing.
-- Runs when Redis is out of memory.

local active, lease, completed, stream, processed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prefix, maxlen, n = #ARGV[1], ARGV[2], tonumber(ARGV[3])

local completed_at = '\104' .. varint(now_s) -- field 13 of asynq's message
local replies, ended, deleted, kept, gone = {}, {}, {}, {}, {}

for i = 1, n do
  local task, arg = KEYS[5 + i], 6 * i - 2
  local retention, lock = tonumber(ARGV[arg + 2]), tonumber(ARGV[arg + 4])
  local record = redis.call('HMGET', task, 'state', 'fence', 'nonce', 'seq', 'revoked')
  local status = holds(record, ARGV[arg], ARGV[arg + 1])
  if status == 1 and gone[task] then
    status = 2 -- named twice in this call, and to be deleted below
  elseif status == 1 then
    local id, seq = string.sub(task, prefix + 1), tonumber(record[4]) + 1
    ended[#ended + 1] = id
    redis.call('LREM', active, -1, id)
    if retention == 0 then
      deleted[#deleted + 1], gone[task] = task, true
    else
      kept[#kept + 1] = digits(now_s + retention)
      kept[#kept + 1] = id
      redis.call('HSET', task, 'msg', redis.call('HGET', task, 'msg') .. completed_at, 'state', 'completed',
        'result', ARGV[arg + 3], 'finished', at, 'seq', digits(seq))
      settle_mark(task, record[5])
    end
    if lock > 0 and redis.call('GET', KEYS[lock]) == id then
      redis.call('DEL', KEYS[lock])
    end
    event(seq, ARGV[arg + 5])
  end
  replies[2 * i - 1] = status
  replies[2 * i] = record[1] == 'active' and record[2] or '0'
end

each_chunk(ended, 1000, function(...) redis.call('ZREM', lease, ...) end)
each_chunk(deleted, 1000, function(...) redis.call('DEL', ...) end)
each_chunk(kept, 1000, function(...) redis.call('ZADD', completed, ...) end)
count(processed, #ended)
append_events(stream, maxlen)
return replies
