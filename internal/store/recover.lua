-- recover takes tasks back whose lease has run out: their worker is dead, cut off or paused.
--
-- KEYS[1]  lease zset
-- KEYS[2]  active list
-- KEYS[3]  pending list
-- KEYS[4]  retry zset
-- KEYS[5]  due zset
-- KEYS[6]  archived zset
-- KEYS[7]  events stream
-- KEYS[8]  processed total
-- KEYS[9]  failed total
-- KEYS[10] wake list
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  most entries of the events stream
-- ARGV[3]  most tasks to take back, at most 1,000
-- ARGV[4]  number of crashes at which a task is poison
-- ARGV[5]  back-off after the second crash, milliseconds; four times as much after each further one, at most an hour
-- ARGV[6]  random number between 0 and 1, which spreads the back-off
--
-- Returns  {taken back, of them poison, Unix seconds with a fraction at which the next lease ends or ''}
--
-- Guarantees that the check, the move and the event are one, so a lease that was renewed in time is never taken; that the
-- nonce goes, so the former holder can change nothing any more; that a crash costs no retry. Runs when Redis is out of
-- memory.

local lease, active, pending, retry, due = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local archived, stream, processed, failed, wake = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local prefix, maxlen, most, backoff = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])

local taken, poison, before = 0, 0, first_due(due)

local function bury(task, id, seq, head, reason, kind, text)
  call('ZADD', archived, now_s, id)
  call('HSET', task, 'state', 'archived', 'reason', reason, 'finished', at, 'seq', seq)
  event(seq, '"kind":"' .. kind .. '",' .. head .. ',"data":{"reason":"' .. reason .. '"' .. text .. '}')
end

local function take_back(id)
  local task = prefix .. id
  local record = redis.pcall('HMGET', task, 'msg', 'state', 'seq', 'owner', 'revoked', 'crashes', 'retried')
  end_lease(active, lease, id)
  if not record[1] then
    call('DEL', task)
    return
  end
  if record[2] ~= 'active' then
    return -- its holder has moved it; only the lease was left behind
  end
  taken = taken + 1
  local seq, head = after(record[3]), about(id, record[1], record[4])
  call('HDEL', task, 'nonce', 'progress')
  call('HSET', task, 'attempt', after(record[7] or '0'))
  stop_waiting(task)
  if record[5] then
    settle_mark(task, record[5])
    release(task, id)
    bury(task, id, seq, head, 'revoked', 'revoked', '')
    return
  end
  local crashes = number(record[6])
  if crashes >= most then -- it was poison, and an operator runs it again: a new life
    crashes = 0
  end
  crashes = crashes + 1
  call('HSET', task, 'crashes', digits(crashes))
  if crashes >= most then
    poison = poison + 1
    local text = 'the worker vanished ' .. digits(crashes) .. (crashes == 1 and ' time' or ' times') .. ' while it ran this task'
    call('HSET', task, 'msg', record[1] .. '\58' .. varint(#text) .. text .. '\88' .. varint(now_s)) -- fields 7, 11
    bury(task, id, seq, head, 'poison', 'failed', ',"error":"' .. text .. '"')
  elseif crashes == 1 then
    call('RPUSH', pending, id)
    call('HSET', task, 'state', 'pending', 'pending_since', micros .. '000', 'seq', seq)
    event(seq, '"kind":"queued",' .. head .. ',"data":{"reason":"crashed"}')
  else
    local wait = math.min(backoff * 4 ^ (crashes - 2), 3600000)
    local when = now_ms + math.floor(wait * (1 + tonumber(ARGV[6])) / 2)
    call('ZADD', retry, digits(math.ceil(when / 1000)), id)
    call('ZADD', due, digits(when), id)
    call('HSET', task, 'state', 'retry', 'reason', 'crashed', 'seq', seq)
    event(seq, '"kind":"retrying",' .. head .. ',"data":{"due":' .. digits(when) .. ',"reason":"crashed"}')
  end
end

for _, id in ipairs(call('ZRANGEBYSCORE', lease, '-inf', string.format('%.6f', now_us / 1000000), 'LIMIT', 0, ARGV[3])) do
  take_back(id)
end
ring(due, wake, before)
count(processed, poison)
count(failed, poison)
append_events(stream, maxlen)
return {taken, poison, call('ZRANGE', lease, 0, 0, 'WITHSCORES')[2] or ''}
