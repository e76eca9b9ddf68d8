-- progress records how far running tasks have come.
--
-- KEYS[1]  events stream
-- KEYS[2…] the task hashes
-- ARGV[1]  most entries of the events stream
-- ARGV[2…] per task: token, nonce, the event's JSON fields about the task, the progress as JSON
--
-- Returns  per task two values: 1 if recorded, 0 if the lease is lost; and the token on record, '0' if none
--
-- Guarantees that a caller that no longer holds the lease changes nothing. Runs when Redis is out of memory.

local stream, maxlen = KEYS[1], ARGV[1]
local replies = {}

for i = 2, #KEYS do
  local arg = 4 * i - 6
  local record = redis.call('HMGET', KEYS[i], 'state', 'fence', 'nonce', 'seq')
  local held = holds(record, ARGV[arg], ARGV[arg + 1]) == 1
  if held then
    local seq = tonumber(record[4]) + 1
    redis.call('HSET', KEYS[i], 'progress', ARGV[arg + 3], 'seq', digits(seq))
    event(seq, '"kind":"progress",' .. ARGV[arg + 2] .. ',"data":' .. ARGV[arg + 3])
  end
  replies[2 * i - 3] = held and 1 or 0
  replies[2 * i - 2] = record[1] == 'active' and record[2] or '0'
end
append_events(stream, maxlen)
return replies
