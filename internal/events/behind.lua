-- behind tells how old the first entry of a stream is that is still to be passed on.
--
-- KEYS[1]  event stream of a queue
-- ARGV[1]  ID of the entry that was passed on last; 0-0: none was
--
-- Returns  its age in milliseconds, by the server's clock; 0 if there is none, or if it is from later
--
-- Guarantees that nothing is written, and that no more than one entry is read, however many there are.

local left = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 1)
if #left == 0 then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local born = tonumber(string.match(left[1][1], '^%d+'))
return math.max(now - born, 0)
