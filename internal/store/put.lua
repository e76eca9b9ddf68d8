-- put stores one new task that may start at once and has no terms: what producers send one by one. It does what enqueue
-- does, in the fewest instructions: for a single task, those and not Redis' commands are what the call costs.
--
-- KEYS[1]  task hash
-- KEYS[2]  pending list
-- KEYS[3]  events stream
-- ARGV[1]  task ID
-- ARGV[2]  asynq's message
-- ARGV[3]  the event's JSON fields about the task
-- ARGV[4]  most entries of the events stream
--
-- Returns  1 if stored, 0 if the ID exists
--
-- Guarantees that a refused task leaves nothing behind. Refused when Redis is out of memory.

if call('EXISTS', KEYS[1]) == 1 then
  return 0
end
call('HSET', KEYS[1], 'msg', ARGV[2], 'state', 'pending', 'pending_since', micros .. '000', 'seq', '1')
call('LPUSH', KEYS[2], ARGV[1])
append(KEYS[3], ARGV[4], '[{"seq":1,"at":' .. at .. ',"kind":"queued",' .. ARGV[3] .. '}]')
return 1
