-- progress records how far running tasks have come.
--
-- KEYS[1]  events stream
-- KEYS[2…] the task hashes
-- ARGV[1]  most entries of the events stream
-- ARGV[2…] per task: token, nonce, the event's JSON fields about the task, the progress as JSON
--
-- Returns  for each task that was not changed three values: its place in the call; 0; and the token on record, '0' if none
--
-- Guarantees that a caller that no longer holds the lease changes nothing. Runs when Redis is out of memory.

local stream, maxlen = KEYS[1], ARGV[1]
for i = 2, #KEYS do
  local arg = 4 * i - 6
  local record = call('HMGET', KEYS[i], 'state', 'fence', 'nonce', 'seq')
  if holds(record, ARGV[arg], ARGV[arg + 1]) == 1 then
    local seq = after(record[4])
    call('HSET', KEYS[i], 'progress', ARGV[arg + 3], 'seq', seq)
    event(seq, '"kind":"progress",' .. ARGV[arg + 2] .. ',"data":' .. ARGV[arg + 3])
  else
    refuse(i - 1, 0, record)
  end
end
append_events(stream, maxlen)
return refusals
