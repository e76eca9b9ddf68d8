-- requeue hands leased tasks back unfinished, to be the next to start; it does not count as an attempt.
--
-- KEYS[1]  active list
-- KEYS[2]  lease zset
-- KEYS[3]  pending list
-- KEYS[4]  events stream
-- KEYS[5…] the task hashes
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  most entries of the events stream
-- ARGV[3…] per task: token, nonce, the event's JSON from "kind" on
--
-- Returns  for each task that was not changed three values: its place in the call; 2 if the caller had ended the lease
--          before, 0 if the lease is lost; and the token on record, '0' if none
--
-- Guarantees that of all holders of a task only the newest hands it back. Runs when Redis is out of memory.

local active, lease, pending, stream = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix, maxlen = #ARGV[1], ARGV[2]
local since = micros .. '000'

for i = 5, #KEYS do
  local task, arg = KEYS[i], 3 * (i - 5) + 3
  local record = call('HMGET', task, 'state', 'fence', 'nonce', 'seq', 'retried')
  local status = holds(record, ARGV[arg], ARGV[arg + 1])
  if status == 1 then
    local id, seq = string.sub(task, prefix + 1), after(record[4])
    end_lease(active, lease, id)
    stop_waiting(task)
    call('RPUSH', pending, id)
    call('HSET', task, 'state', 'pending', 'pending_since', since, 'attempt', after(record[5] or '0'), 'seq', seq)
    event(seq, ARGV[arg + 2])
  else
    refuse(i - 4, status, record)
  end
end
append_events(stream, maxlen)
return refusals
