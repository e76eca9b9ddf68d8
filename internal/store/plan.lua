-- plan tells a schedule's next tick, after making the schedule known if it is new or its definition has changed.
--
-- KEYS[1]  schedule hash
-- ARGV[1]  revision of the schedule: a digest of its definition
-- ARGV[2]  next tick of a schedule that is new or has changed, Unix seconds
-- ARGV[3]  fencing token of the caller's lock
--
-- Returns  {1, next tick} with the tick on record; {0, ''} if a newer holder of the lock has been here
--
-- Guarantees that a schedule that has not changed keeps its next tick, so that one that was missed is noticed.
-- Runs when Redis is out of memory.

local schedule, revision, token = KEYS[1], ARGV[1], ARGV[3]

local record = call('HMGET', schedule, 'next', 'rev', 'token')
if record[3] and tonumber(record[3]) > tonumber(token) then
  return {0, ''}
end
if record[1] and record[2] == revision then
  return {1, record[1]}
end
call('HSET', schedule, 'next', ARGV[2], 'rev', revision, 'token', token)
return {1, ARGV[2]}
