-- forward makes tasks startable whose time has come.
--
-- KEYS[1]  scheduled zset
-- KEYS[2]  retry zset
-- KEYS[3]  due zset
-- KEYS[4]  pending list
-- KEYS[5]  events stream
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  most entries of the events stream
-- ARGV[3]  most tasks to move, at most 1,000
--
-- Returns  {moved, Unix milliseconds of the next due time or '' if there is none, Redis' clock in Unix milliseconds}
--
-- Guarantees that nothing starts early: Seri's tasks are due to the millisecond; a stock producer's, which have no exact
-- time, at their score. Runs when Redis is out of memory.

local scheduled, retry, due, pending, stream = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prefix, maxlen, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])

local since = micros .. '000'
local moved, settled = {}, {}

local function start(id)
  local task = prefix .. id
  local record = redis.pcall('HMGET', task, 'msg', 'seq', 'owner', 'reason', 'pending_since')
  if not record[1] then
    call('DEL', task)
    return
  end
  if record[5] then -- a stock program's, of its first wait
    call('HSETNX', task, 'enqueued', string.sub(record[5], 1, -7))
  end
  moved[#moved + 1] = id
  if record[4] == 'no_worker' then -- looked at again, not news
    call('HSET', task, 'state', 'pending', 'pending_since', since)
    return
  end
  local seq, head = after(record[2]), about(id, record[1], record[3])
  call('HSET', task, 'state', 'pending', 'pending_since', since, 'seq', seq)
  event(seq, '"kind":"queued",' .. head)
end

-- forward starts tasks that wait in a set.
local function forward(set, ids)
  if #ids > 0 then
    call('ZREM', set, unpack(ids))
    for _, id in ipairs(ids) do
      start(id)
    end
  end
end

local exact = call('ZRANGEBYSCORE', due, '-inf', at, 'WITHSCORES', 'LIMIT', 0, limit)
for i = 1, #exact, 2 do
  settled[#settled + 1] = exact[i]
end
if #settled > 0 then
  local later, again = call('ZMSCORE', scheduled, unpack(settled)), call('ZMSCORE', retry, unpack(settled))
  local from_scheduled, from_retry = {}, {}
  for i, id in ipairs(settled) do
    local score = later[i] or again[i]
    if score and tonumber(score) <= math.ceil(tonumber(exact[2 * i]) / 1000) then
      table.insert(later[i] and from_scheduled or from_retry, id)
    end -- else a stock program has moved it meanwhile
  end
  forward(scheduled, from_scheduled)
  forward(retry, from_retry)
end

for _, set in ipairs({scheduled, retry}) do
  if #settled < limit then
    local ids = call('ZRANGEBYSCORE', set, '-inf', now_s, 'LIMIT', 0, limit - #settled)
    for _, id in ipairs(ids) do
      settled[#settled + 1] = id
    end
    forward(set, ids)
  end
end

if #settled > 0 then
  call('ZREM', due, unpack(settled))
end
if #moved > 0 then
  call('LPUSH', pending, unpack(moved))
end
append_events(stream, maxlen)

local next_due = call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
for _, set in ipairs({scheduled, retry}) do
  local first = call('ZRANGE', set, 0, 0, 'WITHSCORES')
  if first[1] and not call('ZSCORE', due, first[1]) then
    local when = tonumber(first[2]) * 1000
    next_due = next_due and math.min(tonumber(next_due), when) or when
  end
end
return {#moved, next_due and digits(tonumber(next_due)) or '', at}
