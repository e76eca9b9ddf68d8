-- fire enqueues the task of one tick of a schedule and moves the schedule on to its next tick.
--
-- KEYS[1]  schedule hash
-- KEYS[2]  task hash
-- KEYS[3]  pending list
-- KEYS[4]  events stream
-- KEYS[5]  the owner's tasks; only if the terms name an owner
-- ARGV[1]  task ID, which names schedule and tick
-- ARGV[2]  most entries of the events stream
-- ARGV[3]  revision of the schedule: a digest of its definition
-- ARGV[4]  the tick that the caller takes for the next one, Unix seconds
-- ARGV[5]  the tick after it, Unix seconds
-- ARGV[6]  fencing token of the caller's lock
-- ARGV[7]  asynq's message; '' to move on without a task, because the tick was missed for too long
-- ARGV[8]  the event's JSON fields about the task
-- ARGV[9]  JSON of the task's terms: {expires: Unix ms, owner: label, owned: index of KEYS}, or ''
--
-- Returns  1 if enqueued (or moved on), 2 if the tick's task exists already, 0 if the schedule's next tick or revision is another,
--          -1 if a newer holder of the lock has been here
--
-- Guarantees one task per tick with any number of callers: the tick is compared and set in the same step as the task is
-- stored, and the task's ID is a second proof. Refused as a whole when Redis is out of memory.

local schedule, task, pending, stream = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, maxlen, token = ARGV[1], ARGV[2], ARGV[6]

local record = call('HMGET', schedule, 'next', 'rev', 'token')
if record[3] and tonumber(record[3]) > tonumber(token) then
  return -1
end
if record[1] ~= ARGV[4] or record[2] ~= ARGV[3] then
  return 0
end

call('HSET', schedule, 'next', ARGV[5], 'token', token, 'last', ARGV[4], 'task', id)
if ARGV[7] == '' then
  return 1
end
if call('EXISTS', task) == 1 then
  return 2
end
local terms = ARGV[9] ~= '' and cjson.decode(ARGV[9]) or {}
if terms.expires then
  call('HSET', task, 'expires', digits(terms.expires))
end
if terms.owner then
  own(task, id, terms.owner, KEYS[terms.owned])
end
call('HSET', task, 'msg', ARGV[7], 'state', 'pending', 'pending_since', micros .. '000', 'seq', '1')
call('LPUSH', pending, id)
event('1', '"kind":"queued",' .. ARGV[8])
append_events(stream, maxlen)
return 1
