-- look tells how a stream stands to an entry that was read from it earlier.
--
-- KEYS[1]  event stream of a queue
-- ARGV[1]  entry ID
--
-- Returns  {1} if the entry is there
--          {0} if there is no stream
--          {0, last ID ever given, first ID there or '', entries there, entries ever added or -1 if Redis cannot say}
--
-- Guarantees that nothing is written. What it returns is of one moment.

local stream, entry = KEYS[1], ARGV[1]

if #redis.call('XRANGE', stream, entry, entry) == 1 then
  return {1}
end
if redis.call('EXISTS', stream) == 0 then
  return {0}
end

local last, length, added = '', 0, -1 -- before Redis 7.0 nothing counts what was ever added
local info = redis.call('XINFO', 'STREAM', stream)
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then last = info[i + 1] end
  if info[i] == 'length' then length = info[i + 1] end
  if info[i] == 'entries-added' then added = info[i + 1] end
end
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)
return {0, last, first[1] and first[1][1] or '', length, added}
