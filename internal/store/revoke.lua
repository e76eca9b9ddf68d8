-- revoke withdraws a task, or asks the worker that runs it to stop.
--
-- KEYS[1]  task hash
-- KEYS[2]  pending list
-- KEYS[3]  scheduled zset
-- KEYS[4]  retry zset
-- KEYS[5]  due zset
-- KEYS[6]  archived zset
-- KEYS[7]  events stream
-- ARGV[1]  task ID
-- ARGV[2]  most entries of the events stream
-- ARGV[3]  pub/sub channel on which workers listen for IDs
--
-- Returns  0 if there is no such task, 1 if it is revoked, 2 if it is running and marked, 3 if it had ended before
--
-- Guarantees that a task that was marked is not started again, whatever becomes of its worker. (The mark goes when the
-- attempt has ended for good: an operator who then runs the task again means it.) Runs when Redis is out of memory.

local task, pending, scheduled, retry, due, archived, stream = unpack(KEYS)
local id, maxlen = ARGV[1], ARGV[2]

local record = call('HMGET', task, 'msg', 'state', 'seq', 'owner', 'revoked')
local state = record[2]
if not record[1] then
  return 0
end
if state == 'active' then
  call('HSET', task, 'revoked', '1')
  call('PUBLISH', ARGV[3], id)
  return 2
end
if state == 'completed' or state == 'archived' then
  return 3
end

if state == 'pending' then
  call('LREM', pending, 1, id)
elseif state == 'scheduled' then
  call('ZREM', scheduled, id)
elseif state == 'retry' then
  call('ZREM', retry, id)
else
  call('HSET', task, 'revoked', '1') -- in one of asynq's groups: settled when it is dequeued
  return 2
end
withdraw(task, id, record, due, archived)
append_events(stream, maxlen)
return 1
