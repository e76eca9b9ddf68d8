-- enqueue stores new tasks, each at once startable or at its time.
--
-- KEYS[1]  pending list
-- KEYS[2]  scheduled zset
-- KEYS[3]  due zset
-- KEYS[4]  events stream
-- KEYS[5]  wake list
-- KEYS[6…] the task hashes, then the uniqueness locks and owner indexes that the tasks' terms refer to by number
-- ARGV[1]  what precedes an ID in a task's key
-- ARGV[2]  most entries of the events stream
-- ARGV[3]  number of tasks
-- ARGV[4…] per task: asynq's message; the event's JSON fields about the task; its terms, '' for none, or JSON:
--          {due: Unix ms, expires: Unix ms, unique: index of KEYS, ttl: s, owner: label, owned: index of KEYS}
--
-- Returns  per task 1 if stored, 0 if its ID exists, -1 if an equal task holds the uniqueness lock
--
-- Guarantees that a refused task leaves nothing behind, and that no other task of the call suffers from it.
-- Refused as a whole when Redis is out of memory.

local pending, scheduled, due, stream, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prefix, maxlen, n = #ARGV[1], ARGV[2], tonumber(ARGV[3])

local since = micros .. '000'
local startable, due_seconds, due_exact, replies = {}, {}, {}, {}

-- settle carries out the terms of a task. It returns whether the task is to wait for its time; nil if an equal one exists.
local function settle(task, id, terms)
  local delayed = terms.due and terms.due > now_ms
  if terms.unique then
    local ttl = terms.ttl
    if delayed then
      ttl = ttl + math.ceil((terms.due - now_ms) / 1000)
    end
    if not call('SET', KEYS[terms.unique], id, 'NX', 'EX', digits(ttl)) then
      return nil
    end
    call('HSET', task, 'unique_key', KEYS[terms.unique])
  end
  if terms.expires then
    call('HSET', task, 'expires', digits(terms.expires))
  end
  if terms.owner then
    own(task, id, terms.owner, KEYS[terms.owned])
  end
  return delayed or false
end

for i = 1, n do
  local task, terms, reply, delayed = KEYS[5 + i], ARGV[3 * i + 3], 1, false
  local id = string.sub(task, prefix + 1)
  if call('EXISTS', task) == 1 then
    reply = 0
  elseif terms ~= '' then
    terms = cjson.decode(terms)
    delayed = settle(task, id, terms)
    if delayed == nil then
      reply = -1
    end
  end
  if reply == 1 and delayed then
    call('HSET', task, 'msg', ARGV[3 * i + 1], 'state', 'scheduled', 'seq', '1', 'enqueued', at)
    local d = #due_exact
    due_seconds[d + 1], due_seconds[d + 2] = digits(math.ceil(terms.due / 1000)), id
    due_exact[d + 1], due_exact[d + 2] = digits(terms.due), id
    event('1', '"kind":"scheduled",' .. ARGV[3 * i + 2] .. ',"data":{"due":' .. digits(terms.due) .. '}')
  elseif reply == 1 then
    call('HSET', task, 'msg', ARGV[3 * i + 1], 'state', 'pending', 'pending_since', since, 'seq', '1')
    startable[#startable + 1] = id
    event('1', '"kind":"queued",' .. ARGV[3 * i + 2])
  end
  replies[i] = reply
end

if #startable > 0 then
  call('LPUSH', pending, unpack(startable))
end
if #due_exact > 0 then
  local before = first_due(due)
  each_chunk(due_seconds, 1000, function(...) call('ZADD', scheduled, ...) end)
  each_chunk(due_exact, 1000, function(...) call('ZADD', due, ...) end)
  ring(due, wake, before)
end
append_events(stream, maxlen)
return replies
