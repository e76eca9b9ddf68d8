-- retry ends attempts that failed and are to be repeated.
--
-- KEYS[1]  active list
-- KEYS[2]  lease zset
-- KEYS[3]  retry zset
-- KEYS[4]  due zset
-- KEYS[5]  archived zset
-- KEYS[6]  events stream
-- KEYS[7]  processed total
-- KEYS[8]  failed total
-- KEYS[9]  wake list
-- KEYS[10…] the task hashes
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  most entries of the events stream
-- ARGV[3…] per task: token, nonce, delay in milliseconds, asynq's message with the error and the new count of retries,
--          the event's JSON fields about the task, the JSON fields of its data without the due time
--
-- Returns  for each task that was not changed three values: its place in the call; 2 if the caller had ended the lease
--          before, 0 if the lease is lost; and the token on record, '0' if none
--
-- Guarantees that of all holders of a task at most one ends the attempt. A task that was revoked meanwhile is not
-- repeated but archived as revoked. Runs when Redis is out of memory.

local active, lease, retry, due, archived = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local stream, processed, failed, wake = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local prefix, maxlen = #ARGV[1], ARGV[2]

local last_failed_at = '\88' .. varint(now_s) -- field 11 of asynq's message
local before, n = first_due(due), 0

for i = 10, #KEYS do
  local task, arg = KEYS[i], 6 * (i - 10) + 3
  local record = call('HMGET', task, 'state', 'fence', 'nonce', 'seq', 'revoked')
  local status = holds(record, ARGV[arg], ARGV[arg + 1])
  if status == 1 then
    local id, seq = string.sub(task, prefix + 1), after(record[4])
    local msg, head = ARGV[arg + 3] .. last_failed_at, ARGV[arg + 4]
    end_lease(active, lease, id)
    stop_waiting(task)
    call('HINCRBY', task, 'retried', 1) -- as the message says
    if record[5] then
      call('ZADD', archived, now_s, id)
      call('HSET', task, 'msg', msg, 'state', 'archived', 'reason', 'revoked', 'finished', at, 'seq', seq)
      settle_mark(task, record[5])
      release(task, id)
      event(seq, '"kind":"revoked",' .. head .. ',"data":{"reason":"revoked"}')
    else
      local when = now_ms + tonumber(ARGV[arg + 2])
      call('ZADD', retry, digits(math.ceil(when / 1000)), id)
      call('ZADD', due, digits(when), id)
      call('HSET', task, 'msg', msg, 'state', 'retry', 'seq', seq)
      event(seq, '"kind":"retrying",' .. head .. ',"data":{"due":' .. digits(when) .. ',' .. ARGV[arg + 5] .. '}')
    end
    n = n + 1
  else
    refuse(i - 9, status, record)
  end
end
ring(due, wake, before)
count(processed, n)
count(failed, n)
append_events(stream, maxlen)
return refusals
