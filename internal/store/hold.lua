-- hold pauses a schedule, or lets it go on.
--
-- KEYS[1]  what beats know of the queue
-- KEYS[2]  index of schedules by next tick
-- KEYS[3]  schedules that were changed at run time
-- KEYS[4]  schedule hash
-- KEYS[5]  events stream
-- ARGV[1]  schedule's ID
-- ARGV[2]  most entries of the events stream
-- ARGV[3]  'pause' or 'resume'
-- ARGV[4]  a note: why it is paused
-- ARGV[5]  the next tick of a schedule that is resumed, Unix seconds, '' for none
-- ARGV[6]  its revision, from which that tick follows
--
-- Returns  1 if it is so now, 2 if it was so before, 0 if there is no such schedule, -1 if its revision is another
--
-- Guarantees that ticks of a paused schedule are neither fired nor counted as missed. Runs when Redis is out of memory.

local beat, index, edited, schedule, stream = unpack(KEYS)
local id, maxlen, what, note, following = unpack(ARGV)

local record = call('HMGET', schedule, 'rev', 'paused')
if not record[1] then
  return 0
end
if (what == 'pause') == (record[2] ~= false) then
  return 2
end
if what == 'pause' then
  call('HSET', schedule, 'paused', note, 'paused_at', at)
  call('ZADD', index, '+inf', id)
  event('0', '"kind":"schedule.paused","schedule":"' .. id .. '","data":{"note":' .. encode(note) .. '}')
else
  if record[1] ~= ARGV[6] then
    return -1
  end
  call('HDEL', schedule, 'paused', 'paused_at', 'auto', 'fails')
  call('HSET', schedule, 'next', following)
  call('ZADD', index, following == '' and '+inf' or following, id)
  event('0', '"kind":"schedule.resumed","schedule":"' .. id .. '"')
end
call('ZADD', edited, call('HINCRBY', beat, 'edits', 1), id)
call('ZREMRANGEBYRANK', edited, 0, -1001)
append_events(stream, maxlen)
return 1
