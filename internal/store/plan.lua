-- plan writes the definitions of schedules, or removes schedules.
--
-- KEYS[1]  what beats know of the queue
-- KEYS[2]  index of schedules by next tick
-- KEYS[3]  schedules that were changed at run time
-- KEYS[4]  events stream
-- KEYS[5…] per schedule its hash; then per schedule its history
-- ARGV[1]  the lock of the caller's beats
-- ARGV[2]  fencing token of that lock; '' for a change at run time, of which the beats are told
-- ARGV[3]  most entries of the events stream
-- ARGV[4…] per schedule: its ID; the revision and the next tick that the caller takes for those on record, '' if none; its
--          new revision, '' to remove it; its timing, origin, definition; its next tick, Unix seconds, '' for none
--
-- Returns  per schedule 1 if written, 0 if the record is another than the caller thinks; or -1 if a newer holder of the
--          lock has been here: then nothing is written
--
-- A change at run time is an event. A pause that followed on failures ends with a new definition, one that somebody has asked for does not.
--
-- Guarantees that of two who change a schedule the second sees what the first has written.
-- Runs when Redis is out of memory: a schedule must be removable.

local beat, index, edited, stream = unpack(KEYS, 1, 4)
local set, token, maxlen = unpack(ARGV, 1, 3)

if token ~= '' and not leads(beat, set, token) then
  return -1
end

local replies, n = {}, (#KEYS - 4) / 2

-- None of them exists when beats first have a file: one look for all of them is enough then, as each call is dear.
local none, made, scores = {}, {}, {}
local some = call('EXISTS', unpack(KEYS, 5, 4 + n)) > 0

local function place()
  each_chunk(scores, 5000, function(...) call('ZADD', index, ...) end)
  scores = {}
end

for i = 1, n do
  local schedule, a = KEYS[4 + i], 8 * (i - 1) + 4
  local id, revision, following = ARGV[a], ARGV[a + 3], ARGV[a + 7]
  local record = (some or made[id]) and call('HMGET', schedule, 'rev', 'next', 'paused', 'auto') or none
  if (record[1] or '') ~= ARGV[a + 1] or (record[2] or '') ~= ARGV[a + 2] then
    replies[#replies + 1] = 0
  else
    replies[#replies + 1] = 1
    if revision == '' then
      place()
      call('DEL', schedule, KEYS[4 + n + i])
      call('ZREM', index, id)
    else
      made[id] = true
      call('HSET', schedule, 'rev', revision, 'timing', ARGV[a + 4], 'origin', ARGV[a + 5], 'def', ARGV[a + 6], 'next', following, 'set', set)
      local paused = record[3]
      if record[4] and record[1] ~= revision then
        call('HDEL', schedule, 'paused', 'paused_at', 'auto', 'fails')
        event('0', '"kind":"schedule.resumed","schedule":"' .. id .. '"')
        paused = false
      end
      scores[#scores + 1], scores[#scores + 2] = (paused or following == '') and '+inf' or following, id
    end
    if token == '' then
      event('0', '"kind":"schedule.' .. (revision == '' and 'removed' or 'changed') .. '","schedule":"' .. id .. '"')
      call('ZADD', edited, call('HINCRBY', beat, 'edits', 1), id)
      call('ZREMRANGEBYRANK', edited, 0, -1001)
    end
  end
end
place()
append_events(stream, maxlen)
return replies
