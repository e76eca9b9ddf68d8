-- archive ends attempts whose task will not be tried again.
--
-- KEYS[1]  active list
-- KEYS[2]  lease zset
-- KEYS[3]  archived zset
-- KEYS[4]  events stream
-- KEYS[5]  processed total
-- KEYS[6]  failed total
-- KEYS[7…] the task hashes
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  most entries of the events stream
-- ARGV[3…] per task: token, nonce, reason, number of the attempt, asynq's message with the error, the event's JSON from
--          "kind" on
--
-- Returns  for each task that was not changed three values: its place in the call; 2 if the caller had ended the lease
--          before, 0 if the lease is lost; and the token on record, '0' if none
--
-- Guarantees that of all holders of a task at most one ends it. The uniqueness lock stays until its term is over, as with
-- asynq, but that of a revoked task goes. Runs when Redis is out of memory.
-- Trimming the archive is not done here but by purge, in bounded steps.

local active, lease, archived, stream, processed, failed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local prefix, maxlen = #ARGV[1], ARGV[2]

local last_failed_at = '\88' .. varint(now_s) -- field 11 of asynq's message
local n = 0

for i = 7, #KEYS do
  local task, arg = KEYS[i], 6 * (i - 7) + 3
  local record = call('HMGET', task, 'state', 'fence', 'nonce', 'seq', 'revoked')
  local status = holds(record, ARGV[arg], ARGV[arg + 1])
  if status == 1 then
    local id, seq = string.sub(task, prefix + 1), after(record[4])
    end_lease(active, lease, id)
    stop_waiting(task)
    call('ZADD', archived, now_s, id)
    call('HSET', task, 'msg', ARGV[arg + 4] .. last_failed_at, 'state', 'archived', 'reason', ARGV[arg + 2],
      'attempt', ARGV[arg + 3], 'finished', at, 'seq', seq)
    settle_mark(task, record[5])
    if ARGV[arg + 2] == 'revoked' then
      release(task, id)
    end
    event(seq, ARGV[arg + 5])
    n = n + 1
  else
    refuse(i - 6, status, record)
  end
end
count(processed, n)
count(failed, n)
append_events(stream, maxlen)
return refusals
